# Everything a user or CI runs. Each step says what it is doing.
PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
BIN := $(VENV)/bin
# Tests go side by side, three to two cores since many wait for a server or a browser; those that measure time have the
# machine to themselves.
# Processes are as many as keep the cores busy: threads of torch would wait for each other.
TEST_PROCESSES ?= 3
SIDE_BY_SIDE := --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
export PYTHON
# What a process compiled, the next one reads.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve demo samples test test-fast docs lint equivalence mnist-retrained-store mnist-store mnist-report recordings recorded-doubts evaluate evaluate-full evaluate-retrain evaluate-robust evaluate-robust-wide evaluate-queries evaluate-imagenet bench bench-imagenet bench-robust bench-probing bench-decision bench-serving bench-cluster profile bench-scale gpu-check soak overload steady drain hostile redis-faults fuzz fuzz-api rehearsal clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.serve: pyproject.toml constraints.txt deploy/steps/install.sh
	@echo "[1/4] Installing the server and what builds stores into $(VENV)"
	deploy/steps/install.sh $(VENV) cpu,server,build,retrain --editable
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt deploy/steps/install.sh
	@echo "Installing everything the tests need into $(VENV)"
	deploy/steps/install.sh $(VENV) cpu,server,build,retrain,ray,evaluation,docs,recipes,dev --editable
	@touch $@ $(VENV)/.serve

# The script trains the classifier first where there is none; one that is newer than its store has the store built anew.
stores/digits/CURRENT: $(wildcard models/digits.onnx) | $(VENV)/.serve
	@BIN=$(BIN) deploy/steps/demo-store.sh

stores/samples: | stores/digits/CURRENT
	@BIN=$(BIN) deploy/steps/demo-store.sh

demo: stores/digits/CURRENT ## build the demo store

serve: stores/digits/CURRENT $(if $(wildcard models/digits.onnx),stores/samples) ## environment, demo store and server, in one
	@echo "[4/4] Serving on http://$(HOST):$(PORT)  (stop with Ctrl-C)"
	GUARD_SAMPLES_DIR="$${GUARD_SAMPLES_DIR:-stores/samples}" $(BIN)/mutant-guard serve --store stores/digits --host $(HOST) --port $(PORT)

test: $(VENV)/.dev ## run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not timing"
	$(BIN)/python -m pytest -m timing $$(grep -rl 'mark\.timing' tests)

test-fast: $(VENV)/.dev ## all logic, in a few minutes: no trainings, whole experiments, browsers, clusters, load
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not timing"

docs: $(VENV)/.dev ## build the documentation as a site, in runs/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(VENV)/.dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

equivalence: $(VENV)/.dev ## hold ResNet-20 and GoogLeNet banks to 1,000 real images (about 15 minutes)
	EQUIVALENCE_IMAGES=1000 $(BIN)/python -m pytest tests/mutant_store/test_any_classifier.py -k cifar10

samples: $(VENV)/.dev stores/digits/CURRENT ## a few clean and adversarial digits to post
	$(BIN)/python -m evaluation.samples digits --out samples --count 5 --attack deepfool --model models/digits.onnx

DATA := $(or $(GUARD_DATA_DIR),../shared/data)
MNIST ?= $(DATA)/mnist

stores/mnist-lenet-retrained/CURRENT: models/mnist-lenet.safetensors | $(VENV)/.dev
	$(BIN)/mutant-store build $< --train-data "mnist:$(MNIST)@train" --data "mnist:$(MNIST)@holdout" --operator retrain --out stores/mnist-lenet-retrained

mnist-retrained-store: stores/mnist-lenet-retrained/CURRENT ## LeNet's store of 8 retrained mutants without a robust one, a few minutes

stores/mnist-lenet/CURRENT: models/mnist-lenet.onnx | $(VENV)/.dev
	$(BIN)/mutant-store build $< --data "mnist:$(MNIST)@holdout" --operator nai --rate 0.05 --mutants 500 --out stores/mnist-lenet

mnist-store: stores/mnist-lenet/CURRENT ## LeNet's store; MNIST= is the folder of the four IDX files

stores/cifar10-resnet20/CURRENT: models/cifar10-resnet20.onnx | $(VENV)/.dev
	$(BIN)/mutant-store build $< --data "imagefolder:$(DATA)/cifar10@test[0:3000]" --operator nai --rate 0.005 \
		--mutants 100 --out stores/cifar10-resnet20

mnist-report: stores/mnist-lenet/CURRENT ## 1,000 MNIST test images over HTTP, every policy
	$(BIN)/python -m evaluation.over_http --store stores/mnist-lenet --data "mnist:$(MNIST)@test[0:1000]" \
		--out reports/mnist-over-http/results.json

# What is there already is kept: remove reports/decision and stores/decision to measure it all again.
recordings: | $(VENV)/.dev ## label changes of test and adversarial images, for the benchmark of the decision (an hour or two)
	$(BIN)/python -m evaluation.label_changes mnist-lenet --data "$(DATA)"
	$(BIN)/python -m evaluation.label_changes cifar10-resnet20 --data "$(DATA)" --seed 0 --seed 1

recorded-doubts: | $(VENV)/.dev ## what retrained mutants say of an experiment's images, for the benchmark of tests on doubts
	$(BIN)/python -m evaluation.recorded_doubts --config evaluation/configs/mnist-retrain.toml --data "$(DATA)"
	$(BIN)/python -m evaluation.recorded_doubts --config evaluation/configs/cifar10-retrain.toml --data "$(DATA)"

# Stores, images and scores are kept in runs/: what is there is not made again.
evaluate: | $(VENV)/.dev ## the paper's experiments and ours on MNIST, in brief: reports/quick (a few minutes)
	$(BIN)/python -m evaluation run --config evaluation/configs/quick.toml --data "$(DATA)"

evaluate-full: | $(VENV)/.dev ## all of them: reports/mnist, mnist-98 and cifar10 (some hours)
	$(BIN)/python -m evaluation run --config evaluation/configs/mnist.toml --data "$(DATA)"
	$(BIN)/python -m evaluation run --config evaluation/configs/mnist-98.toml --data "$(DATA)"
	$(BIN)/python -m evaluation run --config evaluation/configs/cifar10.toml --data "$(DATA)"

evaluate-imagenet: | $(VENV)/.dev ## published ImageNet classifiers guarded by others: reports/imagenet-lite0, -lite1 and -lite2 (some hours)
	$(BIN)/python -m evaluation published --config evaluation/configs/imagenet-lite0.toml --data "$(DATA)"
	$(BIN)/python -m evaluation published --config evaluation/configs/imagenet-lite1.toml --data "$(DATA)"
	$(BIN)/python -m evaluation published --config evaluation/configs/imagenet-lite2.toml --data "$(DATA)"

evaluate-retrain: | $(VENV)/.dev ## mutants that are trained again: reports/mnist-retrain and cifar10-retrain (some hours)
	$(BIN)/python -m evaluation run --config evaluation/configs/mnist-retrain.toml --data "$(DATA)"
	$(BIN)/python -m evaluation run --config evaluation/configs/cifar10-retrain.toml --data "$(DATA)"

# The stores under attack, and those that an attacker without them makes by the same recipe.
stores/mnist-lenet-robust/CURRENT stores/mnist-lenet-robust-own/CURRENT stores/mnist-lenet-certified/CURRENT: stores/%/CURRENT: | $(VENV)/.dev
	$(BIN)/mutant-store build models/mnist-lenet.safetensors --train-data "mnist:$(MNIST)@train" --data "mnist:$(MNIST)@holdout" \
		--operator mixed:robust,retrain --seed $(if $(findstring -own,$*),1,0) $(if $(findstring -certified,$*),--certified) --out stores/$*

stores/cifar10-resnet20-robust/CURRENT stores/cifar10-resnet20-robust-own/CURRENT: stores/%/CURRENT: | $(VENV)/.dev
	$(BIN)/mutant-store build models/cifar10-resnet20.safetensors --train-data "imagefolder:$(DATA)/cifar10@train" \
		--data "imagefolder:$(DATA)/cifar10@holdout" --operator mixed:robust,retrain \
		--seed $(if $(findstring -own,$*),1 --mutants 4,0) --out stores/$*

evaluate-robust: stores/mnist-lenet-robust/CURRENT stores/mnist-lenet-robust-own/CURRENT stores/mnist-lenet-certified/CURRENT stores/cifar10-resnet20-robust/CURRENT stores/cifar10-resnet20-robust-own/CURRENT | $(VENV)/.dev ## every attack of who holds the store, robust mutants in it, and what else it catches: reports/mnist-robust, mnist-certified, mnist-robust-detection and the like of cifar10 (many hours)
	$(BIN)/python -m evaluation adaptive --config evaluation/configs/mnist-robust.toml --data "$(DATA)" \
		--store stores/mnist-lenet-robust --another stores/mnist-lenet-robust-own
	$(BIN)/python -m evaluation adaptive --config evaluation/configs/mnist-certified.toml --data "$(DATA)" \
		--store stores/mnist-lenet-certified
	$(BIN)/python -m evaluation adaptive --config evaluation/configs/cifar10-robust.toml --data "$(DATA)" \
		--store stores/cifar10-resnet20-robust --another stores/cifar10-resnet20-robust-own
	$(BIN)/python -m evaluation run --config evaluation/configs/mnist-robust-detection.toml --data "$(DATA)"
	$(BIN)/python -m evaluation run --config evaluation/configs/cifar10-robust-detection.toml --data "$(DATA)"

# A network of four times the width takes hours on a CPU, and minutes on a GPU.
stores/cifar10-resnet20-robust-wide/CURRENT: | $(VENV)/.dev
	$(BIN)/mutant-store build models/cifar10-resnet20.safetensors --train-data "imagefolder:$(DATA)/cifar10@train" \
		--data "imagefolder:$(DATA)/cifar10@holdout" --operator mixed:robust,retrain --architecture resnet20 --width 4 \
		--robust-epsilon 0.01960784 --robust-epochs 30 --robust-batch-size 128 --robust-learning-rate 0.1 --out stores/cifar10-resnet20-robust-wide

evaluate-robust-wide: stores/cifar10-resnet20-robust-wide/CURRENT | $(VENV)/.dev ## a wider robust mutant of ResNet-20, under every attack of who holds the store: reports/cifar10-robust-wide (wants a GPU)
	$(BIN)/python -m evaluation adaptive --config evaluation/configs/cifar10-robust-wide.toml --data "$(DATA)" \
		--store stores/cifar10-resnet20-robust-wide --device auto

# Two mutants that were trained half as long as others, in a quarter of an hour of a core.
stores/cifar10-resnet20-small/CURRENT: models/cifar10-resnet20.safetensors | $(VENV)/.dev
	$(BIN)/mutant-store build $< --train-data "imagefolder:$(DATA)/cifar10@train" --data "imagefolder:$(DATA)/cifar10@test[0:3000]" \
		--operator retrain --mutants 2 --epochs 2 --adversarial-images 15000 --out stores/cifar10-resnet20-small

evaluate-queries: stores/mnist-lenet-robust/CURRENT stores/cifar10-resnet20-small/CURRENT | $(VENV)/.dev ## attacks that only ask, against a memory of what was asked: reports/queries-mnist, -cifar10 and -imagenet (some two hours)
	$(BIN)/python -m evaluation queries --config evaluation/configs/queries-mnist.toml --data "$(DATA)" --store stores/mnist-lenet-robust
	$(BIN)/python -m evaluation queries --config evaluation/configs/queries-cifar10.toml --data "$(DATA)" --store stores/cifar10-resnet20-small
	$(BIN)/python -m evaluation queries --config evaluation/configs/queries-imagenet.toml --data "$(DATA)"

# Leave the machine alone while it runs; what each table is made of: python -m benchmarks --help.
bench: | $(VENV)/.dev ## measure everything side by side and rewrite benchmarks/RESULTS.md, DECISION.md and DOUBTS.md
	$(BIN)/python -m benchmarks all --mnist "$(MNIST)" --out benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks decision --out benchmarks/DECISION.md
	$(BIN)/python -m benchmarks doubts --out benchmarks/DOUBTS.md

bench-imagenet: | $(VENV)/.dev ## classifiers of ImageNet's size, from the build to detection: benchmarks/IMAGENET.md (some hours)
	$(BIN)/python -m benchmarks imagenet --data "$(DATA)" --out benchmarks/IMAGENET.md

bench-robust: | $(VENV)/.dev ## ways of training robust mutants, side by side: benchmarks/ROBUST-MNIST.md and ROBUST-CIFAR10.md (many hours)
	$(BIN)/python -m benchmarks robust mnist --data "$(DATA)" --out benchmarks/ROBUST-MNIST.md
	$(BIN)/python -m benchmarks robust cifar10 --data "$(DATA)" --out benchmarks/ROBUST-CIFAR10.md

bench-probing: | $(VENV)/.dev ## the memory of queries, its time, fingerprints, attacks and false alarms: benchmarks/PROBING.md (a quarter of an hour)
	$(BIN)/python -m benchmarks probing --data "$(DATA)" --out benchmarks/PROBING.md

bench-decision: | $(VENV)/.dev ## the part on the sequential test alone, some five minutes
	$(BIN)/python -m benchmarks decision --out benchmarks/DECISION.md

# Leave the machine alone for these as well. LitServe and MLServer are installed from PyPI, below runs/.
bench-serving: stores/mnist-lenet/CURRENT stores/mnist-lenet-retrained/CURRENT stores/cifar10-resnet20/CURRENT stores/cifar10-resnet20-small/CURRENT | $(VENV)/.dev ## the server against what people would write instead: benchmarks/SERVING.md (half an hour)
	$(BIN)/python -m benchmarks serving --data "$(DATA)" --out benchmarks/SERVING.md

bench-scale: stores/mnist-lenet/CURRENT stores/cifar10-resnet20/CURRENT | $(VENV)/.dev ## replicas for 10⁴ to 10⁶ requests a second, simulated beside real ones: benchmarks/SCALE.md (ten minutes)
	$(BIN)/python -m benchmarks scale --data "$(DATA)" --out benchmarks/SCALE.md

bench-cluster: | $(VENV)/.dev ## a build by two workers of Ray against one by two processes: benchmarks/CLUSTER.md (ten minutes)
	$(BIN)/python -m benchmarks cluster --data "$(DATA)" --out benchmarks/CLUSTER.md

# Needs an NVIDIA GPU, and no environment of make's: what is installed is used, the rest goes to runs/gpu/venv. With OUT set, results go there.
gpu-check: ## labels, speed and a training of GoogLeNet on an NVIDIA GPU: runs/gpu/results (under ten minutes)
	$(PYTHON) -m benchmarks.gpu.prepare --data "$(DATA)" --out "$(or $(OUT),runs/gpu/results)" $(GPU_OPTIONS)

soak: overload steady drain hostile redis-faults fuzz fuzz-api ## all of the following (half an hour); make -k goes on where a target is missed

profile: stores/mnist-lenet-retrained/CURRENT | $(VENV)/.dev ## where the time of a request goes: benchmarks/PROFILE.md (a minute)
	$(BIN)/python -m benchmarks profile --store stores/mnist-lenet-retrained --data "$(DATA)" --out benchmarks/PROFILE.md

overload: stores/mnist-lenet/CURRENT stores/cifar10-resnet20/CURRENT | $(VENV)/.dev ## four times the server's capacity, for a minute
	$(BIN)/python -m benchmarks overload --data "$(DATA)" --store stores/cifar10-resnet20
	$(BIN)/python -m benchmarks overload --data "$(DATA)"

steady: stores/mnist-lenet/CURRENT | $(VENV)/.dev ## half of it for ten minutes, with reloads of the store
	$(BIN)/python -m benchmarks soak --data "$(DATA)"

drain: stores/mnist-lenet/CURRENT | $(VENV)/.dev ## SIGTERM under load, 20 times
	$(BIN)/python -m benchmarks drain --data "$(DATA)"

hostile: stores/mnist-lenet/CURRENT | $(VENV)/.dev ## clients that send too slowly, too much or too early (a minute)
	$(BIN)/python -m benchmarks hostile --data "$(DATA)"

redis-faults: stores/mnist-lenet/CURRENT | $(VENV)/.dev ## Redis frozen, slow and killed under a server (some minutes)
	$(BIN)/python -m benchmarks redis --data "$(DATA)"

# Resamples what it gets, and so reads images of any size.
stores/digits-bilinear/CURRENT: stores/digits/CURRENT | $(VENV)/.dev
	$(BIN)/mutant-store build models/digits.onnx --data digits@holdout --operator nai --rate 0.05 --mutants 60 --max-false-alarm 0.1 \
		--resize bilinear --out stores/digits-bilinear

# Files of each kind that a build is given, and the time after which no more are begun.
FUZZ_FILES ?= 2000
FUZZ_SECONDS ?= 3600

# What is found goes to runs/fuzz/findings and runs/fuzz/files/findings; the corpus is kept for the next time.
fuzz: stores/digits/CURRENT stores/digits-bilinear/CURRENT | $(VENV)/.dev ## 100,000 hostile bodies, guided by what they reach, and 8,000 files for a build (some minutes)
	$(BIN)/python -m benchmarks.fuzz bodies --store stores/digits --store stores/digits-bilinear
	$(BIN)/python -m benchmarks.fuzz bombs --store stores/digits-bilinear
	$(BIN)/python -m benchmarks.fuzz files --executions $(FUZZ_FILES) --seconds $(FUZZ_SECONDS)

fuzz-api: stores/digits/CURRENT | $(VENV)/.dev ## what the OpenAPI document says against what a server answers (some minutes)
	$(BIN)/python -m benchmarks.fuzz api --store stores/digits

# PYTHON must be one that others than root may run. Several GB of packages, kept for the next time.
rehearsal: ## what the images and docker-compose.yml do, without an engine (Linux, as root; some minutes)
	deploy/steps/rehearse.sh runs/rehearsal

clean: ## remove the environment and what was built
	rm -rf $(VENV) models/digits.* stores samples runs
