"""What names of picture files end in; for processes that read none, and have no numpy, too."""

from __future__ import annotations

from typing import Final

SUFFIXES: Final = frozenset(
    {
        ".bmp", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
        ".webp",
    }
)  # fmt: skip
