"""Check on an NVIDIA GPU: labels, throughput, and a training, each part in a process of its own."""

SKIPPED = 77
"""Exit status of a part that was skipped."""
