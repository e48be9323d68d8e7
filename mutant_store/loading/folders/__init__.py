"""Readers of what other projects write beside a model: the treatment of images, class names."""
