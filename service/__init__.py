"""The online half: mutant stores served over HTTP."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as mutant_store does, whichever is imported first
