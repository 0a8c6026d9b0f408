"""What a bank learnt of how its good images were taken: in words, and as a page with pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np

from inspectd.bank.file import BankFile
from inspectd.evaluation.calibrate import images_needed, shown_rate
from inspectd.evaluation.page import fitted, gallery, page, table
from inspectd.evaluation.plots import escape
from inspectd.files import write_text
from inspectd.quality.learn import FEWEST
from inspectd.quality.learnt import NEAREST, REFERENCES, LearntQuality
from inspectd.quality.reasons import REASONS

LIMIT_HEADINGS: Final = ("measure", "usual", "at least", "at most", "beyond it")
_WANTED_RATE: Final = 0.001

NOT_LEARNT: Final = (
    f"how its images were taken: not learnt, so dark, blurred, shifted or wrong pictures are judged like any "
    f"other; build it again, of images of {FEWEST} parts or more"
)
"""Of a bank that has none, for people."""


def limit_rows(learnt: LearntQuality) -> list[tuple[str, ...]]:
    """A row for each limit, in the order in which they count."""
    return [
        (name, f"{limit.usual:.4g}", _end(limit.low), _end(limit.high), REASONS[name])
        for name in REASONS
        if (limit := learnt.limits.get(name)) is not None
    ]


def summary_lines(learnt: LearntQuality, *, shows_rates: bool = True) -> Iterator[str]:
    """What else there is to say of it, for people; rates only where the images show some, see `Manifest`."""
    count, what = (learnt.images, "images") if learnt.parts is msgspec.UNSET else (learnt.parts, "parts")
    beyond = f"{learnt.held_out_alarms} of its {count} {what} lie beyond limits found without them"
    if shows_rates:
        shown = shown_rate(count, learnt.held_out_alarms)
        wanted = f"; to show 0.1 % takes {images_needed(_WANTED_RATE)} {what}"
        most = f": at most {shown:.2%} of such {what} do (95 %)"
        yield beyond + most + ("" if shown <= _WANTED_RATE else wanted)
    else:
        yield f"{beyond}; images of one part vouch for each other: no rate is shown, limits may be narrow"
    if learnt.aligned:
        yield "frames are shifted and turned onto the reference before they are judged"
    found = [f"{what} {share:.0%}" for what, share in learnt.found.items()]
    if found:
        yield f"made in some of them on purpose, and found: {', '.join(found)}"
    missed = [what for what, share in learnt.found.items() if share < 0.5]
    if missed:
        yield f"NOT found in most: {', '.join(missed)}"
    for name, why in learnt.not_findable.items():
        yield f"{name} ({REASONS[name]}): not findable in these images: {why}"


def write_quality_page(out: Path, path: Path, bank: BankFile) -> None:
    """Write a page of a bank's limits, its reference pictures and the good images nearest each limit.

    Args:
        out: the page's file.
        path: the bank's.
        bank: its content.

    Raises:
        UnavailableError: the file cannot be written.
    """
    write_text(out, page(f"How the images of {path.name} were taken", _body(bank)))


def _body(bank: BankFile) -> Iterator[str]:
    learnt = bank.manifest.quality
    if learnt is None:
        yield f"<p>{escape(NOT_LEARNT)}.</p>"
        return
    yield "<h2>Limits</h2><p>A frame beyond one of these is undecidable, for the reason of the first one."
    yield "</p>"
    yield from table(LIMIT_HEADINGS, limit_rows(learnt))
    yield from (
        f"<p class='note'>{escape(line)}</p>"
        for line in summary_lines(learnt, shows_rates=bank.manifest.shows_rates)
    )
    references = bank.tensors.get(REFERENCES, np.empty((0, 1, 1), np.uint8))
    usual = [
        (fitted(cv2.cvtColor(each, cv2.COLOR_GRAY2BGR)), "another" if row else "the most usual picture")
        for row, each in enumerate(references)
    ]
    yield from gallery("What its images show", usual, len(usual))
    pictures = bank.tensors.get(NEAREST, ())
    near = [
        (fitted(picture), f"<b>{escape(each.measure)}</b> {each.value:.4g}<br>{escape(each.image)}")
        for picture, each in zip(pictures, learnt.nearest, strict=True)
    ]
    yield from gallery("Good images nearest to each limit", near, len(near))


def _end(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
