"""Mutants that are partly redrawn and trained again, on the original's own adversarial images as well.

What is aimed at one network misleads others that were trained apart from it less, and least those that have seen
what is aimed at it: the idea of ensemble adversarial training, put to detecting.

Tramèr, Kurakin, Papernot, Goodfellow, Boneh, McDaniel: Ensemble adversarial training: attacks and defenses. ICLR 2018.
Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks. ICLR 2018.
"""
