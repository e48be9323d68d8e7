"""Attacks by an attacker that knows the guard."""
