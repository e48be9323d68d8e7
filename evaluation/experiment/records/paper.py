"""Figures of the paper: Wang et al., ICSE 2019.

They are those of Tables II, IV, V and VI and of the text on Figure 4.
"""

from evaluation.experiment.records.results import NORMAL, WRONG, PaperDetection, PaperValue

KINDS = (NORMAL, WRONG, "fgsm", "jsma", "cw", "black-box", "deepfool")
"""Columns of Tables II and IV, in their order; ``paper`` in an attack's settings names one."""

MNIST, CIFAR10 = "mnist", "cifar10"

# Table II (NAI) and Table IV: label change rates in percent, with the half widths of their 99 %
# intervals.
_RATES = {
    (MNIST, "nai", 0.01): "1.28±0.24 14.58±2.64 47.56±3.56 50.80±2.46 12.07±1.26 44.94±3.43 37.62±2.83",
    (MNIST, "nai", 0.03): "3.06±0.44 27.16±3.11 52.12±3.04 57.86±2.02 21.88±1.38 51.15±2.91 46.61±2.43",
    (MNIST, "nai", 0.05): "3.88±0.53 32.53±3.15 54.54±2.80 59.07±1.95 27.73±1.37 53.97±2.67 50.30±2.24",
    (MNIST, "ns", 0.01): "0.12±0.07 3.78±0.94 44.67±3.92 36.03±3.24 3.42±0.79 40.06±3.82 26.09±3.16",
    (MNIST, "ns", 0.03): "0.37±0.19 10.78±2.30 46.32±3.71 47.45±2.61 8.93±1.16 43.05±3.59 34.20±2.92",
    (MNIST, "ns", 0.05): "0.89±0.35 19.30±3.18 48.91±3.41 56.51±2.11 15.87±1.53 46.94±3.29 42.69±2.65",
    (MNIST, "ws", 0.01): "0.93±0.18 9.83±2.33 46.04±3.73 46.96±2.67 7.98±1.15 42.42±3.62 33.41±2.97",
    (MNIST, "ws", 0.03): "3.03±0.35 21.84±3.11 49.83±3.26 56.01±2.10 17.01±1.38 47.98±3.14 43.07±2.60",
    (MNIST, "ws", 0.05): "3.83±0.42 26.96±3.26 51.46±3.06 57.56±2.00 21.03±1.40 50.20±2.94 46.37±2.46",
    (MNIST, "gf", 0.01): "0.57±0.30 16.75±3.33 47.87±3.54 56.39±2.14 14.27±1.56 45.56±3.41 41.07±2.76",
    (MNIST, "gf", 0.03): "1.39±0.46 27.00±3.40 51.87±3.10 60.64±1.85 22.10±1.64 50.59±2.97 48.06±2.41",
    (MNIST, "gf", 0.05): "2.49±0.59 33.28±3.28 55.02±2.77 62.36±1.74 25.87±1.55 53.38±2.68 51.60±2.19",
    (CIFAR10, "nai", 0.003): "2.20±0.55 17.95±1.39 14.06±1.33 28.65±1.30 19.77±1.41 10.36±1.06 30.84±1.37",
    (CIFAR10, "nai", 0.005): "5.05±0.91 32.18±1.62 27.87±1.71 47.75±1.27 33.95±1.60 21.66±1.38 47.70±1.23",
    (CIFAR10, "nai", 0.007): "7.28±1.12 39.76±1.70 36.19±1.81 56.02±1.29 41.22±1.64 27.57±1.5 54.41±1.21",
    (CIFAR10, "ns", 0.005): "0.02±0.03 0.3±0.15 0.3±0.16 0.46±0.16 0.37±0.18 0.08±0.05 0.86±0.24",
    (CIFAR10, "ns", 0.007): "0.94±0.4 10.12±1.19 7.16±1.06 16.07±1.21 11.04±1.19 4.61±0.8 19.05±1.37",
    (CIFAR10, "ws", 0.003): "0.79±0.35 9.04±1.17 6.43±1.05 14.85±1.27 10.01±1.18 9.11±0.74 18.78±1.46",
    (CIFAR10, "ws", 0.005): "2.01±0.55 17.0±1.53 12.88±0.145 29.42±1.55 18.42±1.55 8.49±1.06 32.63±1.63",
    (CIFAR10, "ws", 0.007): "2.69±0.65 21.6±1.67 17.21±1.67 37.69±1.63 23.40±1.69 11.15±1.22 40.03±1.63",
    (CIFAR10, "gf", 0.003): "1.42±0.51 15.36±1.52 11.42±1.42 26.52±1.53 17.0±1.51 8.05±1.10 31.36±1.68",
    (CIFAR10, "gf", 0.005): "2.89±0.75 25.31±1.75 20.71±1.79 41.69±1.54 26.59±1.75 13.75±1.34 45.8±1.57",
    (CIFAR10, "gf", 0.007): "4.09±0.91 31.97±1.86 27.69±1.97 50.07±1.52 32.94±1.82 18.29±1.48 53.67±1.51",
}

_AUROC_COLUMNS = ("nai", "gf", "ns", "ws")
# Table V, the columns of the four operators. It does not say at which rates; the text on Figure 4
# names 0.05 and 0.005.
_AUROCS = {
    (MNIST, "fgsm"): (0.9744, 0.9747, 0.9554, 0.9648),
    (MNIST, "jsma"): (0.9965, 0.9975, 0.9975, 0.9969),
    (MNIST, "cw"): (0.9576, 0.9521, 0.909, 0.9225),
    (MNIST, "black-box"): (0.9789, 0.9763, 0.9631, 0.9725),
    (MNIST, "deepfool"): (0.9881, 0.9889, 0.9853, 0.9864),
    (MNIST, WRONG): (0.9689, 0.9727, 0.9612, 0.9692),
    (CIFAR10, "fgsm"): (0.8956, 0.8779, 0.7559, 0.8458),
    (CIFAR10, "jsma"): (0.9733, 0.9737, 0.9355, 0.9729),
    (CIFAR10, "cw"): (0.926, 0.9205, 0.8464, 0.8994),
    (CIFAR10, "black-box"): (0.874, 0.8371, 0.7068, 0.8702),
    (CIFAR10, "deepfool"): (0.974, 0.9786, 0.9549, 0.9753),
    (CIFAR10, WRONG): (0.9185, 0.9146, 0.8331, 0.876),
}
_MAIN_RATES = {MNIST: 0.05, CIFAR10: 0.005}

# The text on Figure 4, ρ = 1: accuracy on attacks, mutants for them, accuracy on normal images.
_DETECTION = {
    (MNIST, "gf"): (0.949, 75.5, 0.908),
    (MNIST, "nai"): (0.964, 74.1, 0.897),
    (MNIST, "ns"): (0.839, 145.3, 0.947),
    (MNIST, "ws"): (0.914, 105.4, 0.929),
    (CIFAR10, "gf"): (0.855, 121.7, 0.793),
    (CIFAR10, "nai"): (0.906, 86.1, 0.74),
    (CIFAR10, "ns"): (0.566, 303.0, 0.846),
    (CIFAR10, "ws"): (0.748, 176.2, 0.816),
}

# "For CIFAR10, we could not train a good substitute model … and thus have no result."
_NOT_AVERAGED = {CIFAR10: {NORMAL, "black-box"}}

# Table VI: milliseconds a forward pass, seconds an accurate mutant, mutants of a decision.
_COSTS = {
    (MNIST, "nai"): (0.7, 6.191, 68.7789),
    (MNIST, "ns"): (0.5, 6.336, 173.004),
    (MNIST, "ws"): (0.3, 7.657, 107.6702),
    (MNIST, "gf"): (0.3, 1.398, 91.1747),
    (CIFAR10, "nai"): (0.3, 16.101, 69.0873),
    (CIFAR10, "ns"): (0.5, 9.475, 283.9628),
    (CIFAR10, "ws"): (0.4, 9.251, 165.6373),
    (CIFAR10, "gf"): (0.4, 11.894, 127.2767),
}


class Paper:
    """Figures that the paper reports for one of its two data sets, or for none."""

    def __init__(self, data_set: str | None) -> None:
        """Choose a data set: ``mnist``, ``cifar10``, or None for one that the paper lacks."""
        self._data_set = data_set or ""

    def rate(self, operator: str, rate: float, column: str | None) -> PaperValue | None:
        """Return the mean label change rate, 0 to 1, of a column at a mutation rate."""
        row = _RATES.get((self._data_set, operator, rate))
        if row is None or column is None:
            return None
        value, half_width = row.split()[KINDS.index(column)].split("±")
        return PaperValue(value=float(value) / 100, half_width=float(half_width) / 100)

    def distance(self, operator: str, rate: float, column: str | None) -> float | None:
        """Return the label change rate of a column over that of normal images.

        It is Figure 3, from the tables' cells.
        """
        suspicious, normal = self.rate(operator, rate, column), self.rate(operator, rate, NORMAL)
        return None if suspicious is None or normal is None else suspicious.value / normal.value

    def auroc(self, operator: str, rate: float, column: str | None) -> float | None:
        """Return the area of Table V."""
        row = _AUROCS.get((self._data_set, column or ""))
        if row is None or operator not in _AUROC_COLUMNS or rate != _MAIN_RATES[self._data_set]:
            return None
        return row[_AUROC_COLUMNS.index(operator)]

    def detection(self, operator: str) -> PaperDetection | None:
        """Return the averages at ρ = 1."""
        row = _DETECTION.get((self._data_set, operator))
        if row is None:
            return None
        left_out = _NOT_AVERAGED.get(self._data_set, {NORMAL})
        columns = [column for column in KINDS if column not in left_out]
        return PaperDetection(
            operator=operator, columns=columns, accuracy=row[0], mutants=row[1], normal=row[2]
        )

    def cost(self, operator: str) -> tuple[float, float, float] | None:
        """Return the costs of Table VI."""
        return _COSTS.get((self._data_set, operator))
