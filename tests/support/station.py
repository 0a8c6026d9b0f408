"""Pictures of parts as one camera of a line takes them: made up, each a little different from the last."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT, WIDTH = 150, 200


class Station:
    """Takes pictures of a part.

    Args:
        symmetric: it looks the same from all four sides.
        loose_px: how far it may lie off.
        coloured: it has a colour.
        seed: of all chance.
    """

    def __init__(self, *, symmetric=False, loose_px=0.7, coloured=False, seed=0):
        self._chance = np.random.default_rng(seed)
        self._loose_px = loose_px
        self._coloured = coloured
        part = np.full((HEIGHT, WIDTH), 60, np.float32)
        cv2.rectangle(part, (40, 35), (160, 115), 150, -1)
        cv2.rectangle(part, (40, 35), (160, 115), 200, 2)
        if not symmetric:
            cv2.circle(part, (65, 58), 12, 90, -1)
            cv2.line(part, (120, 50), (150, 105), 220, 3)
        self._texture = np.random.default_rng(1).normal(0, 6, part.shape).astype(np.float32)
        self._part = part

    def picture(self):
        """(H, W, 3) uint8 BGR."""
        chance, (height, width) = self._chance, self._part.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(chance.normal(0, 0.1)), 1.0)
        matrix[:, 2] += chance.uniform(-self._loose_px, self._loose_px, 2)
        part = self._part + (0 if self._loose_px > 5 else 1) * self._texture
        moved = cv2.warpAffine(part, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        grey = moved * chance.normal(1.0, 0.01) + chance.normal(0, 2.0, moved.shape)
        tint = (0.6, 0.9, 1.2) if self._coloured else (1.0, 1.0, 1.0)
        return np.clip(np.rint(grey[..., None] * tint), 0, 255).astype(np.uint8)

    def pictures(self, count):
        """So many of them."""
        return [self.picture() for _ in range(count)]
