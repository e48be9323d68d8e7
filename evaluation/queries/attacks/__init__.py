"""Attacks by queries, one a module, named after its method."""
