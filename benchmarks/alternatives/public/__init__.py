"""The bare classifier behind public model servers, each in an environment of its own.

Their pinned packages clash with this project's. What runs there imports nothing of this project.
"""
