"""Attacks on a classifier by the adversarial-robustness-toolbox, and the images they make."""
