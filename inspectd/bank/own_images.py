"""The images a bank was built from, recognised by their pixels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, BankFile
from inspectd.bank.images import pixel_digest

_TAUGHT: Final = "was taught because the line rejected it, so it can set no threshold"
_EXCLUDED: Final = "was taken out of the bank as one that shows a defect, so it is no good part"


class OwnImages:
    """The images a bank was built from; their scores by that bank are no measure for new images.

    Where one is found again, its cross-fitted score is used: from a fit that left it out.

    Args:
        scores: those scores by the sha256 of the images' pixels; None: not recorded.
        taught: sha256 of those among them that were taught.
        excluded: sha256 of those that somebody took out of the bank.
    """

    def __init__(
        self,
        scores: Mapping[bytes, float] | None,
        taught: Collection[bytes] = (),
        excluded: Collection[bytes] = (),
    ) -> None:
        self.recorded = scores is not None
        self._scores = scores or {}
        self._no_measures = dict.fromkeys(taught, _TAUGHT) | dict.fromkeys(excluded, _EXCLUDED)

    @classmethod
    def of(cls, bank: BankFile) -> OwnImages:
        """Own images of a bank."""
        digests = bank.tensors.get(IMAGE_DIGESTS)
        excluded = [bytes.fromhex(image.sha256) for image in bank.manifest.excluded]
        if digests is None:
            return cls(None, excluded=excluded)
        scores = {
            digest.tobytes(): float(own)
            for digest, own in zip(digests, bank.tensors[GOOD_SCORES], strict=True)
        }
        taught = {bytes.fromhex(image.sha256): image.score for image in bank.manifest.taught}
        return cls(scores | taught, taught, excluded)

    def score(self, frame: NDArray[np.uint8]) -> float | None:
        """The cross-fitted score of an image (H, W, 3) uint8 BGR; None where it is not one of them."""
        return self._scores.get(pixel_digest(frame).tobytes()) if self._scores else None

    def why_no_measure(self, frame: NDArray[np.uint8]) -> str | None:
        """Why an image (H, W, 3) uint8 BGR is no measure of good parts, for people; None: it may be.

        One that was taught was chosen for its score; of one that was taken out somebody said that it shows a
        defect, whatever folder it lies in.
        """
        return self._no_measures.get(pixel_digest(frame).tobytes()) if self._no_measures else None
