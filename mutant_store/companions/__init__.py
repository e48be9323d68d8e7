"""Companions: other classifiers of the same classes, which serve as mutants."""
