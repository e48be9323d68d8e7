"""The bare classifier behind public model servers, each in an environment of its own: their pins clash with ours.

What runs there imports nothing of this project.
"""
