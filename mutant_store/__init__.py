"""Offline job that makes, calibrates, checks and publishes mutant stores."""

import mutant_guard  # noqa: F401 - first, so that onnxruntime is loaded as it asks for
