#!/bin/sh
# Builds LeNet's store of a robust and 8 retrained mutants from MNIST's four IDX files (.gz or not),
# if it is missing or older than the classifier. Takes some ten minutes. Used by the mnist-init
# service.
#   MNIST=DIR [BIN=.venv/bin] [MODELS=models] [STORES=stores] deploy/steps/mnist-store.sh
set -eu
bin=${BIN:-.venv/bin}
weights=${MODELS:-models}/mnist-lenet.safetensors
store=${STORES:-stores}/mnist-lenet-robust

for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
    if [ ! -e "${MNIST:-}/$name-ubyte" ] && [ ! -e "${MNIST:-}/$name-ubyte.gz" ]; then
        echo "There is no $name-ubyte(.gz) in ${MNIST:-the folder that MNIST names}." \
            "MNIST (docker compose: MNIST_DIR) is the folder of MNIST's four IDX files." >&2
        exit 1
    fi
done
if [ ! -e "$store/CURRENT" ] || [ -n "$(find "$weights" -newer "$store/CURRENT")" ]; then
    echo "Building and calibrating LeNet's store in $store (some ten minutes)"
    "$bin/mutant-store" build "$weights" --train-data "mnist:$MNIST@train" --data "mnist:$MNIST@holdout" \
        --out "$store"
fi
