"""Memory of what was asked: near relatives among queries, and what their answers tell.

``fingerprint`` makes a keyed print of an image, ``memory`` finds the near relatives of a print among
the latest queries, ``latest`` looks for clues in how those of a sequence lie, and ``sequence``
decides when a sequence of relatives is an attack in the making.
"""
