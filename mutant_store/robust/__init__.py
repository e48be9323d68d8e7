"""Mutants that are trained against attacks on themselves."""
