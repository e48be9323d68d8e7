#!/bin/sh
# Trains the demo classifier, builds its mutant store and makes images for the console to offer
# (GUARD_SAMPLES_DIR), each only where it is missing or out of date.
# Used by make and by the store-init service. A build that was interrupted is continued by the next
# call.
#   [BIN=.venv/bin] [MODELS=models] [STORES=stores] [SAMPLES=$STORES/samples] [DEMO_OPTIONS=]
#   deploy/steps/demo-store.sh
# DEMO_OPTIONS are further options of mutant-store build.
set -eu
DEMO_OPTIONS=${DEMO_OPTIONS:-}
bin=${BIN:-.venv/bin}
model=${MODELS:-models}/digits.onnx
store=${STORES:-stores}/digits
samples=${SAMPLES:-${STORES:-stores}/samples}

if [ ! -e "$model" ]; then
    echo "[2/4] Training the demo classifier on scikit-learn's handwritten digits"
    "$bin/python" -m evaluation.train digits --out "$model"
fi
if [ ! -e "$store/CURRENT" ] || [ -n "$(find "$model" -newer "$store/CURRENT")" ]; then
    echo "[3/4] Building and calibrating its mutant store"
    # 150 images are few to certify on: at the default 5 % hardly an alarm would remain.
    # shellcheck disable=SC2086 # several options
    "$bin/mutant-store" build "${model%.onnx}.safetensors" --data digits@holdout --train-data digits@train \
        --max-false-alarm 0.1 --out "$store" $DEMO_OPTIONS
fi
attacked=$(find "$samples" -name '*-pgd-*.png' 2>/dev/null | head -n 1)
if [ -z "$attacked" ] || [ -n "$(find "$model" -newer "$attacked")" ]; then
    echo "[3/4] Writing a few digits, clean and attacked, to $samples"
    rm -rf "$samples.new" # of a run that was interrupted
    "$bin/python" -m evaluation.samples digits --count 8 --attack pgd --model "$model" --out "$samples.new"
    rm -rf "$samples"
    mv "$samples.new" "$samples" # all of them or none: the folder is there once it is done
fi
