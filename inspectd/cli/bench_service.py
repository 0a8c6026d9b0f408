"""`inspectd bench --service`: the whole daemon under load, beside what scoring alone reaches."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from PIL import Image

from inspectd.bank.images import find_images
from inspectd.bench.service_report import FULL, put_together
from inspectd.bench.service_report import service_text as text
from inspectd.bench.subject import noise_frames, write_synthetic
from inspectd.cli.bench_line import Line, run_load
from inspectd.cli.bench_options import SCORING, refuse_both_banks, synthetic_bank
from inspectd.cli.numbers import size
from inspectd.errors import InputError, error_of
from inspectd.files import temporary_folder

__all__ = ["measure", "text"]

_SECONDS: Final = 10.0
_ALONE_SECONDS: Final = 4.0
_NOISE_FRAMES: Final = 8
_MOST_IMAGES: Final = 32
_OVERLOAD: Final = 1.2
"""A line is full when it is offered this much of what scoring alone reaches."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure scoring alone, then the daemon at each load, then scoring alone again; see `put_together`.

    Raises:
        InputError: an option, the bank or the images cannot be used.
        InspectdError: the daemon does not start, or dies.
    """
    refuse_both_banks(arguments)
    loads = _loads(arguments)
    with temporary_folder("bench-") as folder:
        work = Path(folder)
        bank = arguments.file or _synthetic_bank(arguments, work)
        images = _images(arguments, work)
        before = _alone(arguments, bank, images)
        reached = float(before["images_per_second"][str(arguments.max_batch)])
        runs = [_run(arguments, work, (bank, images), load, reached) for load in loads]
        after = _alone(arguments, bank, images)
    return put_together(runs, [before, after], arguments.cameras, arguments.max_batch)


def _loads(arguments: argparse.Namespace) -> list[str]:
    """The loads as they are named: shares of what scoring alone reaches, `full`, or a rate."""
    if arguments.rate is not None:
        if not 0 < arguments.rate <= 10_000:
            raise InputError(
                f"--rate: got {arguments.rate:g}, expected frames a second, above 0, at most 10000"
            )
        return [f"{arguments.rate:g}/s"]
    loads = [part.strip() for part in arguments.load.split(",")]
    for load in loads:
        if load != FULL and not 0 < _share(load) <= 10:
            raise InputError(f"--load: got {load!r}, expected shares above 0 such as 0.5, or {FULL}")
    return loads


def _share(load: str) -> float:
    try:
        return float(load)
    except ValueError:
        return -1.0


def _synthetic_bank(arguments: argparse.Namespace, work: Path) -> Path:
    path = work / "bank.safetensors"
    write_synthetic(path, synthetic_bank(arguments), arguments.device, arguments.backend)
    return path


def _images(arguments: argparse.Namespace, work: Path) -> Path:
    """A folder of few images: some of those named, or noise."""
    folder = work / "images"
    folder.mkdir()
    if arguments.images is not None:
        for number, path in enumerate(find_images(arguments.images)[:_MOST_IMAGES]):
            (folder / f"{number:03}{path.suffix}").symlink_to(path.resolve())
    else:
        height, width = size("--frame", arguments.frame)
        for number, frame in enumerate(noise_frames(_NOISE_FRAMES, height, width, "cpu")):
            Image.fromarray(frame).save(folder / f"{number:03}.bmp")
    return folder


def _alone(arguments: argparse.Namespace, bank: Path, images: Path) -> dict[str, Any]:
    """Scoring alone on the same images, in a process of its own as in the daemon."""
    batches = ",".join(str(size) for size in sorted({1, arguments.max_batch}))
    command = [
        sys.executable, "-P", "-m", "inspectd", "bench", str(bank),
        "--images", str(images), "--batches", batches,
        *(word for name in SCORING for word in (f"--{name}", str(getattr(arguments, name)))),
        "--seconds", str(min(_ALONE_SECONDS, arguments.seconds or _SECONDS)), "--json",
    ]  # fmt: skip
    print("scoring alone", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        problem = done.stderr.strip()[-2000:].removeprefix("error: ")
        raise error_of(done.returncode, problem)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _run(
    arguments: argparse.Namespace, work: Path, inputs: tuple[Path, Path], load: str, reached: float
) -> dict[str, Any]:
    """One load; `inputs` are the bank and the folder of images, `reached` is what scoring alone reaches."""
    line = Line(
        work / f"load-{load.partition('/')[0]}", *inputs, arguments.cameras, arguments.max_batch,
        {name: getattr(arguments, name) for name in SCORING},
    )  # fmt: skip
    rate = arguments.rate or reached * (_OVERLOAD if load == FULL else float(load))
    print(f"load {load}: {rate:.1f} frames/s", file=sys.stderr, flush=True)
    return {"load": load, **run_load(line, rate, arguments.seconds or _SECONDS)}
