"""Mutants that are partly redrawn and trained again, also on the original's adversarial images.

An image that is aimed at one network misleads other networks less if they were trained apart from
it. It misleads those least that have seen images aimed at it. This is the idea of ensemble
adversarial training, put to detection.

Tramèr, Kurakin, Papernot, Goodfellow, Boneh, McDaniel: Ensemble adversarial training: attacks and
defenses. ICLR 2018.
Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial
attacks. ICLR 2018.
"""
