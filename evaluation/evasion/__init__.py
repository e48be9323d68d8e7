"""Experiment that attacks a store in every way there is, and its report."""
