"""Experiments on classifiers of ImageNet's size with published weights and few photographs."""
