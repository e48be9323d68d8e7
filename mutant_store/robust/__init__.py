"""Robust mutants: networks of their own that are trained against attacks on themselves.

Such a mutant has to be wrong with confidence before an image passes. Whoever attacks original and
mutants together finds that hard, even with the store in hand.

Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial
attacks. ICLR 2018.
Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan: Theoretically principled trade-off between robustness and
accuracy. ICML 2019.
Wong, Rice, Kolter: Fast is better than free: revisiting adversarial training. ICLR 2020.
Stutz, Hein, Schiele: Confidence-calibrated adversarial training: generalizing to unseen attacks.
ICML 2020.
De Jorge, Bibi, Volpi, Sanyal, Torr, Rogez, Dokania: Make some noise: reliable and efficient
single-step adversarial training. NeurIPS 2022.
Gowal et al.: On the effectiveness of interval bound propagation for training verifiably robust
models. 2018.
Shi, Wang, Zhang, Yi, Hsieh: Fast certified robust training with short warmup. NeurIPS 2021.
"""
