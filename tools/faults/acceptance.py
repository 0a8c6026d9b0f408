"""What the acceptance programs of the gateways share: checks, and lines whose scoring is the stub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from support.daemon import WELL, Daemon, camera_table, settings


class Checks:
    """Prints each check, and keeps the names of those that did not hold."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def that(self, name: str, value: object, *, ok: bool) -> None:
        """One check, with what was found."""
        print(f"{'ok   ' if ok else 'WRONG'} {name}: {value}", flush=True)
        if not ok:
            self.wrong.append(name)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def middle_and_tail(values: Sequence[float]) -> str:
    """Median and 99th percentile, for people."""
    return f"p50 {percentile(values, 0.5):.1f} ms, p99 {percentile(values, 0.99):.1f} ms"


def triggered_line(folder: Path) -> Daemon:
    """A line that judges a part for each trigger; its camera replays 50 pictures a second."""
    camera = camera_table("top", _pictures(folder), fps=50, mode='"triggered"', slots=32)
    return _line(folder, camera, deadline_ms=2000, extra="[triggers]\nmax_delay_ms = 2000")


def free_running_line(folder: Path) -> Daemon:
    """A line that judges 20 parts a second by itself."""
    return _line(folder, camera_table("top", _pictures(folder), fps=20))


def _line(folder: Path, camera: str, **more: Any) -> Daemon:
    (folder / "line").mkdir()
    return Daemon(folder / "line", settings(Path("stub.bank"), camera, **more), behaviour=WELL)


def _pictures(folder: Path) -> Path:
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(20):
        noise = np.random.default_rng(number).integers(60, 190, (64, 64, 3), np.uint8)
        cv2.imwrite(str(pictures / f"{number:02}.png"), noise)
    return pictures
