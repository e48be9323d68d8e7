"""Offline work on a Ray cluster: tasks in place of processes, and what they need on every node."""
