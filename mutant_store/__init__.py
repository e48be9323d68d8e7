"""Mutant stores: made, checked, read and run."""

import os

# Since 1.29 onnxruntime tells its makers of every session: the model's names and hashes among others. It looks at this
# when it is loaded, which nothing here does before this package.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
