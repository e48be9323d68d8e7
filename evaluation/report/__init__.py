"""The report of an experiment: a page of findings, the paper's tables and ours, and pictures."""
