"""Experiment of attacks that only ask, against a memory of what was asked."""
