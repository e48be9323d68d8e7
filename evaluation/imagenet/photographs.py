"""The photographs: one file a class, cut into those that calibrate and those that are tested."""

import re
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mutant_guard.errors import DataError
from mutant_guard.store.resizing import ResizeRule

SIDE = 288
"""Side of the squares, in pixels: the shorter side of nearly all photographs."""
CALIBRATION, TEST = "calibration", "test"
_ARCHIVE, _NAMES = "images.tar", "classes.txt"
_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True, eq=False)
class Photographs:
    """Photographs in image folders, one folder a class.

    Attributes:
        folder: folder with ``calibration`` and ``test``, in each of which every photograph lies in
            a folder of its class's WordNet number.
        names: names of the classes, in the order of these numbers.
        wnids: these numbers.
        calibrating: int64, classes of the photographs that calibrate.
        tested: int64, classes of the others, in random order.
    """

    folder: Path
    names: list[str]
    wnids: list[str]
    calibrating: NDArray[np.int64]
    tested: NDArray[np.int64]

    @classmethod
    def unpacked(cls, source: Path, folder: Path, calibrating: int, seed: int) -> "Photographs":
        """Unpack an archive of photographs, unless it is unpacked, and divide them at random.

        Args:
            source: folder with ``images.tar``, whose members are ``WNID/NAME.jpg``, one a class,
                and ``classes.txt``, a name a line in the order of the numbers.
            folder: folder to unpack into.
            calibrating: number of photographs that calibrate.
            seed: seed of the division.

        Raises:
            DataError: the archive is missing, is not of this form, or has too few photographs.
        """
        try:
            names = (source / _NAMES).read_text(encoding="utf-8").splitlines()
            with tarfile.open(source / _ARCHIVE) as archive:
                members = sorted(
                    (entry for entry in archive.getmembers() if entry.isfile()), key=lambda entry: entry.name
                )
                wnids = [entry.name.split("/")[0] for entry in members]
                if len(set(wnids)) != len(names) or not all(map(_WNID.fullmatch, wnids)):
                    raise DataError(f"{source} does not hold one photograph of each class in {_NAMES}")
                if not 0 < calibrating < len(names):
                    raise DataError(f"{source} has {len(names)} photographs; {calibrating} cannot calibrate")
                order = np.random.default_rng(seed).permutation(len(names))
                place = folder / f"photographs-{seed}-{calibrating}"
                for number, entry in enumerate(members):
                    part = CALIBRATION if number in set(order[:calibrating].tolist()) else TEST
                    target = place / part / entry.name
                    file = archive.extractfile(entry)
                    if not target.exists() and file is not None:
                        target.parent.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(file.read())
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"{source} has no photographs that can be read: {error}") from error
        return cls(place, names, wnids, np.sort(order[:calibrating]), order[calibrating:])

    def spec(self, part: str) -> str:
        """Return the SPEC of ``calibration`` or of ``test``."""
        return f"imagefolder:{self.folder / part}"

    @cached_property
    def files(self) -> dict[int, Path]:
        """File of each photograph, by class."""
        parts = dict.fromkeys(self.calibrating.tolist(), CALIBRATION)
        parts |= dict.fromkeys(self.tested.tolist(), TEST)
        return {
            number: next((self.folder / part / self.wnids[number]).iterdir())
            for number, part in parts.items()
        }

    def squares(self, classes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the centre squares of the photographs of classes, uint8 [N, SIDE, SIDE, 3].

        A photograph whose shorter side is not ``SIDE`` is resampled to it.
        """
        return self.pictures(classes, ResizeRule("crop", shorter=SIDE), SIDE)

    def pictures(self, classes: NDArray[np.int64], rule: ResizeRule, side: int) -> NDArray[np.uint8]:
        """Return the photographs of classes at a network's size, uint8 [N, side, side, 3].

        Args:
            classes: int64 [N], the classes.
            rule: rule by which photographs get that size.
            side: height and width.
        """
        pictures = []
        for number in classes.tolist():
            with Image.open(self.files[number]) as file:
                image = file.convert("RGB")
            pictures.append(np.asarray(rule.apply(image, height=side, width=side)))
        return np.stack(pictures)
