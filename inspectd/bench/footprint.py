"""Memory of a process that does nothing but score with one bank."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np

from inspectd.backends.scorer import Scorer
from inspectd.errors import InspectdError
from inspectd.limits import memory_bytes

_RUNS: Final = 5


def resident_mb(bank: Path, device: str) -> float:
    """The most memory that a process holds which loads a bank and scores with it, in MB of 1e6 bytes.

    Raises:
        InspectdError: it could not; with the reason.
    """
    words = ["-P", "-m", "inspectd.bench.footprint", str(bank), device]
    done = subprocess.run(
        [sys.executable, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InspectdError(f"bank {bank}: its memory cannot be measured: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def main() -> None:
    """Load the bank, score a few frames of its images' size, and print the megabytes."""
    scorer = Scorer.load(Path(sys.argv[1]), sys.argv[2])
    info = scorer.info
    size = info.image_sizes[0] if info.image_sizes else (info.input_height, info.input_width)
    for _ in range(_RUNS):
        scorer.score([np.zeros((*size, 3), np.uint8)])
    print(round(memory_bytes("VmHWM") / 1e6, 1))  # noqa: T201


if __name__ == "__main__":
    main()
