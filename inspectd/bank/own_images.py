"""The images a bank was built from, recognised by their pixels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, BankFile
from inspectd.bank.images import pixel_digest


class OwnImages:
    """The images a bank was built from; their scores by that bank are no measure for new images.

    Where one is found again, its cross-fitted score is used: from a fit that left it out.

    Args:
        scores: those scores by the sha256 of the images' pixels; None: not recorded.
        taught: sha256 of those among them that were taught.
    """

    def __init__(self, scores: Mapping[bytes, float] | None, taught: Collection[bytes] = ()) -> None:
        self.recorded = scores is not None
        self._scores = scores or {}
        self._taught = frozenset(taught)

    @classmethod
    def of(cls, bank: BankFile) -> OwnImages:
        """Own images of a bank."""
        digests = bank.tensors.get(IMAGE_DIGESTS)
        if digests is None:
            return cls(None)
        scores = {
            digest.tobytes(): float(own)
            for digest, own in zip(digests, bank.tensors[GOOD_SCORES], strict=True)
        }
        taught = {bytes.fromhex(image.sha256): image.score for image in bank.manifest.taught}
        return cls(scores | taught, taught)

    def score(self, frame: NDArray[np.uint8]) -> float | None:
        """The cross-fitted score of an image (H, W, 3) uint8 BGR; None where it is not one of them."""
        return self._scores.get(pixel_digest(frame).tobytes()) if self._scores else None

    def is_taught(self, frame: NDArray[np.uint8]) -> bool:
        """Whether an image (H, W, 3) uint8 BGR was taught: chosen for its score, it can set no threshold."""
        return bool(self._taught) and pixel_digest(frame).tobytes() in self._taught
