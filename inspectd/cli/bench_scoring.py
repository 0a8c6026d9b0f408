"""`inspectd bench` without `--service`: scoring alone, in this process."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from inspectd.bench import machine
from inspectd.bench.report import scoring_text as text
from inspectd.bench.subject import Subject, Way, frames_of, of_bank, synthetic_frames
from inspectd.bench.timing import BatchTiming, Frame, summary, time_batches
from inspectd.cli.bench_options import DEFAULT_BATCHES, made_up_values, numbers, refuse_both_banks, size
from inspectd.errors import InputError, InspectdError, UnavailableError
from inspectd.files import temporary_folder

__all__ = ["measure", "text"]

_FEWEST_FRAMES: Final = 8
_SECONDS: Final = 2.0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options ask for; the figures as JSON values.

    Raises:
        InputError: an option, the bank or the images cannot be used.
        UnavailableError: the device, or a package the bank needs, is not there.
    """
    batches = sorted(set(numbers("--batches", arguments.batches or DEFAULT_BATCHES)))
    make_frames, source = _frames(arguments, max(_FEWEST_FRAMES, *batches))  # first: a bank may take a minute
    subject = _load(arguments)
    frames = make_frames(subject.device)
    height, width, _ = frames[0].shape
    timings = [_timed(subject, frames, batch, arguments.seconds or _SECONDS) for batch in batches]
    figures = summary(timings) | machine.memory(subject.device)  # before what else is measured takes more
    if subject.device != "cpu" and subject.reference is not None:
        from inspectd.backends.cuda.arithmetic import arithmetic, flop_of_image  # noqa: PLC0415 - for CUDA alone

        flop = flop_of_image(subject.reference(), frames[0])
        figures["arithmetic"] = arithmetic(flop, figures["images_per_second"], subject.device)
        from inspectd.backends.cuda.stages import inside  # noqa: PLC0415 - as above

        figures |= inside(subject.pipeline, [frames[i % len(frames)] for i in range(batches[0])])
    return {
        "kind": "scoring",
        "machine": machine.facts(subject.device, arguments.threads),
        "subject": subject.facts,
        "frames": {"count": len(frames), "height": height, "width": width, "source": source},
        **figures,
        "missing": machine.missing(),
    }


def write_made_up(arguments: argparse.Namespace, path: Path) -> None:
    """Write the made-up bank that the options describe, in a process of its own.

    Torch takes hundreds of megabytes that this process, whose memory is measured, may do without.

    Raises:
        InputError: an option cannot be used.
        UnavailableError: the file cannot be written.
    """
    words = ["-m", "inspectd.bench.made_up", str(path), made_up_values(arguments)]
    done = subprocess.run(
        [sys.executable, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        kinds = {int(kind.exit_code): kind for kind in (InputError, UnavailableError)}
        raise kinds.get(done.returncode, InspectdError)(done.stderr.strip()[-2000:])


def _load(arguments: argparse.Namespace) -> Subject:
    way = Way(arguments.device, arguments.threads, arguments.backend, arguments.precision, arguments.search)
    refuse_both_banks(arguments)
    if arguments.file is not None:
        return of_bank(arguments.file, way)
    if machine.missing(machine.FOR_BANK_FILES):
        from inspectd.bench.made_up import made_up, specified  # noqa: PLC0415 - loads torch

        return made_up(specified(json.loads(made_up_values(arguments))), way)
    with temporary_folder("bench-") as folder:
        path = Path(folder) / "bank.safetensors"
        write_made_up(arguments, path)
        subject = of_bank(path, way)
    return replace(subject, facts={**subject.facts, "bank": "synthetic"})


def _frames(arguments: argparse.Namespace, count: int) -> tuple[Callable[[str], list[Frame]], str]:
    """What makes `count` frames at most for a device, and where they come from, for people."""
    if arguments.images is not None:
        frames = frames_of(arguments.images, count)
        return lambda _device: frames, str(arguments.images)
    height, width = size("--frame", arguments.frame)
    return lambda device: synthetic_frames(count, height, width, device), "noise"


def _timed(subject: Subject, frames: list[Frame], batch: int, seconds: float) -> BatchTiming:
    print(f"batch {batch}: {seconds:g} s", file=sys.stderr, flush=True)
    return time_batches(subject.score, frames, batch, seconds)
