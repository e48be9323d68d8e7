"""Attacks by someone who knows the guard."""
