"""What an imported model makes of good images and of changed copies of them, judged in several ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.build import BankBuilder
from inspectd.bank.sample import SampleScores
from inspectd.model.head import Head, image_embedding
from inspectd.model.imported import Imported
from inspectd.model.options import HeadOptions, ImportedOptions

_FOLDS: Final = 3


class ImportedSample:
    """Features of a sample by an imported model.

    Args:
        builder: whose extractor runs the model.
        frames: each image as it is, then its copies; (H, W, 3) uint8 BGR.
        images: number of images.
        owners: (M,) int64, the image of each copy, ascending.
        step: called with the number of images and copies done.
    """

    def __init__(
        self,
        builder: BankBuilder,
        frames: Iterable[Sequence[NDArray[np.uint8]]],
        images: int,
        owners: NDArray[np.int64],
        step: Callable[[int], None],
    ) -> None:
        self._images, self._owners = images, owners
        self._features = builder.room_for(images + len(owners))
        start, copies = time.perf_counter(), images
        for row, (frame, *changed) in enumerate(frames):
            made = builder.extractor([frame, *changed])
            self._features[row] = made[0]
            self._features[copies : copies + len(changed)] = made[1:]
            copies += len(changed)
            step(row + 1 + copies - images)
        self._image_ms = 1e3 * (time.perf_counter() - start) / max(1, len(self._features))

    def scores(self, options: ImportedOptions, head: HeadOptions) -> SampleScores:
        """Score everything, each image and its copies by a head that has not seen it."""
        good, changed = np.empty(self._images), np.empty(len(self._owners))
        with torch.inference_mode():
            maps = Imported(options).score_maps(self._features.float())
            looks = image_embedding(self._features)
            for fold in range(_FOLDS):
                out = np.arange(self._images)[fold::_FOLDS]
                copies = np.flatnonzero(np.isin(self._owners, out))
                seen = torch.from_numpy(np.setdiff1d(np.arange(self._images), out))
                fitted = Head.fit(head, maps[seen], looks[seen])
                for values, rows, first in ((good, out, 0), (changed, copies, self._images)):
                    at = torch.from_numpy(rows + first)
                    values[rows] = fitted(maps[at], looks[at])[0].double().cpu().numpy()
        return SampleScores(good, changed, self._image_ms)
