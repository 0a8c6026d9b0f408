"""`inspectd bench` without `--service`: scoring alone, in this process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final

from inspectd.backends.base import ScoringOptions
from inspectd.bench import machine
from inspectd.bench.report import scoring_text as text
from inspectd.bench.subject import Subject, frames_of, noise_frames, of_bank, of_synthetic, page_locked
from inspectd.bench.timing import BatchTiming, Frame, summary, time_batches
from inspectd.cli.bench_options import DEFAULT_BATCHES, refuse_both_banks, synthetic_bank
from inspectd.cli.numbers import numbers, size

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


def _load(arguments: argparse.Namespace) -> Subject:
    options = ScoringOptions(arguments.backend, arguments.search, arguments.threads)
    refuse_both_banks(arguments)
    if arguments.file is not None:
        return of_bank(arguments.file, arguments.device, options)
    return of_synthetic(synthetic_bank(arguments), arguments.device, options)


def _frames(arguments: argparse.Namespace, count: int) -> tuple[Callable[[str], list[Frame]], str]:
    """Makes up to `count` frames for a device; and their source, for people."""
    if arguments.images is not None:
        frames = frames_of(arguments.images, count)
        return lambda device: page_locked(frames, device), str(arguments.images)
    height, width = size("--frame", arguments.frame)
    return lambda device: noise_frames(count, height, width, device), "noise"


def _timed(subject: Subject, frames: list[Frame], batch: int, seconds: float) -> BatchTiming:
    print(f"batch {batch}: {seconds:g} s", file=sys.stderr, flush=True)
    pipeline = subject.pipeline
    begin = pipeline.begin if pipeline.overlaps else None
    return time_batches(subject.score, frames, batch, seconds, begin=begin)
