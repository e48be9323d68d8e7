"""Attacks on a store as it is served, strong enough that what they leave can be believed."""
