"""Servers that people would write instead, measured beside the project's own."""
