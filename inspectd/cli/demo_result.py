"""Results of a demo: counts, accuracy, latency, and a sheet of its most and least normal parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.table import Table

from inspectd.bank.images import read_image
from inspectd.bench.timing import Latency
from inspectd.cli.demo_data import GOOD
from inspectd.client import Heatmap, LineTracker, Message
from inspectd.errors import InputError
from inspectd.pictures import drawing
from inspectd.wire import Counts, Evaluation, Reason, Verdict

_SHEET_TILES: Final = 12
_CLEAR_BELOW: Final = 0.7  # of the threshold; a heatmap of a good part stays clear
_FRAMES: Final = {Evaluation.PASS: (80, 160, 60), Evaluation.FAIL: (60, 60, 210)}  # BGR


class Summary(msgspec.Struct, frozen=True):
    """The figures of a run, as `--json` writes them."""

    captured: int
    verdicts: int
    drops: int
    undecidable: int
    image_auroc: float | None
    """None unless both good and defective parts were scored."""
    latency_ms: Latency | None
    """From capture to verdict."""


class Result:
    """Collects the verdicts and heatmaps a reader receives.

    Args:
        tracker: the reader's own account of the line.
    """

    def __init__(self, tracker: LineTracker) -> None:
        self.tracker = tracker
        self.received = 0
        self.undecidable: Counter[Reason] = Counter()
        self.latest: dict[tuple[str, str], Verdict] = {}
        """The last scored verdict of each image, by camera and file."""
        self.heatmaps: dict[int, Heatmap] = {}
        self.judged: Counter[tuple[bool, Evaluation]] = Counter()
        """Scored verdicts, by whether the part is defective in truth."""
        self._scores: list[float] = []
        self._defective: list[bool] = []
        self._latencies_ms: list[float] = []

    def add(self, message: Message) -> None:
        """Take in one message."""
        match message:
            case Verdict():
                self._add_verdict(message)
            case Heatmap():
                self.heatmaps[message.header.seq] = message

    def summary(self, counts: Counts) -> Summary:
        """The figures, with the daemon's own final counts."""
        from inspectd.evaluation.metrics import image_metrics  # noqa: PLC0415 - scikit-learn takes a second to load

        both = any(self._defective) and not all(self._defective)
        auroc = image_metrics(np.array(self._defective), np.array(self._scores)).image_auroc if both else None
        latency = None
        if self._latencies_ms:
            exact = Latency.of(self._latencies_ms)
            latency = Latency(round(exact.p50, 2), round(exact.p99, 2))
        return Summary(
            counts.captured, counts.verdicts, counts.drops, self.undecidable.total(), auroc, latency
        )

    def unaccounted(self, counts: Counts) -> list[str]:
        """Everything that does not add up, in words; empty when every frame is accounted for."""
        problems = []
        told = counts.verdicts + counts.drops + counts.in_flight - counts.further
        if counts.captured != told:
            problems.append(
                f"{counts.captured} frames were captured, but verdicts + drops + in flight are {told}"
            )
        if counts.in_flight:
            problems.append(f"{counts.in_flight} inspections were still open when the line stopped")
        if self.tracker.missed:
            problems.append(f"{self.tracker.missed} verdicts never arrived: gaps in their numbers")
        if self.received != counts.verdicts:
            problems.append(f"{counts.verdicts} verdicts were published, {self.received} were received")
        return problems

    def _add_verdict(self, verdict: Verdict) -> None:
        self.received += 1
        self._latencies_ms.append(verdict.latency_ms)
        if verdict.evaluation is Evaluation.UNDECIDABLE:
            self.undecidable[verdict.reason] += 1
        if verdict.score is None or verdict.source is None:
            return
        self._scores.append(verdict.score)
        self._defective.append(verdict.label != GOOD)
        self.judged[verdict.label != GOOD, verdict.evaluation] += 1
        replaced = self.latest.get((verdict.camera, verdict.source))
        if replaced is not None:
            # A looped replay shows an image again and again: its last heatmap is enough.
            self.heatmaps.pop(replaced.seq, None)
        self.latest[verdict.camera, verdict.source] = verdict


def table(summary: Summary, result: Result) -> Table:
    """The figures for a person, with what the bank's threshold did to good and to defective parts."""
    shown = Table(box=None, show_header=False, padding=(0, 2))
    shown.add_column(style="dim")
    shown.add_column(justify="right", style="bold")
    auroc, latency = summary.image_auroc, summary.latency_ms
    for name, value in (
        ("captured", str(summary.captured)),
        ("verdicts", str(summary.verdicts)),
        ("drops", str(summary.drops)),
        ("undecidable", str(summary.undecidable)),
        ("image AUROC", "-" if auroc is None else f"{auroc:.4f}"),
        ("false rejects, of good parts", _share(result, defective=False)),
        ("found, of defective parts", _share(result, defective=True)),
        ("latency p50", "-" if latency is None else f"{latency.p50:.1f} ms"),
        ("latency p99", "-" if latency is None else f"{latency.p99:.1f} ms"),
    ):
        shown.add_row(name, value)
    return shown


def _share(result: Result, *, defective: bool) -> str:
    """Share of the scored parts of one truth that failed, in words."""
    of = sum(count for (truth, _), count in result.judged.items() if truth is defective)
    failed = result.judged[defective, Evaluation.FAIL]
    return f"{failed} of {of} ({failed / of:.1%})" if of else "-"


def write_contact_sheet(result: Result, images: Path, path: Path) -> None:
    """Draw the highest and the lowest scores with their heatmaps laid over.

    Args:
        result: what was received.
        images: the folder that holds a folder for each camera.
        path: the PNG to write.

    Raises:
        InputError: an image cannot be read.
        UnavailableError: the sheet cannot be written.
    """
    ranked = sorted(result.latest.values(), key=lambda verdict: verdict.score or 0.0, reverse=True)
    size = min(_SHEET_TILES, len(ranked) // 2)
    if size == 0:
        return
    scale = _scale(ranked[0])
    sections = [
        (title, [_tile(verdict, result, images, scale) for verdict in verdicts])
        for title, verdicts in (
            ("Highest scores: least like the good parts", ranked[:size]),
            ("Lowest scores: most like the good parts", ranked[: -size - 1 : -1]),
        )
    ]
    drawing.write_image(path, drawing.contact_sheet(sections))


def _scale(highest: Verdict) -> tuple[float, float]:
    """Clear up to somewhat below the threshold, full colour at the highest score of all."""
    threshold = highest.threshold or 0.0
    return _CLEAR_BELOW * threshold, max(highest.score or 0.0, threshold)


def _tile(verdict: Verdict, result: Result, images: Path, scale: tuple[float, float]) -> drawing.Tile:
    source = verdict.source or ""
    path = images / verdict.camera / source
    image = read_image(path)
    if image is None:
        raise InputError(f"{path}: was inspected, but cannot be read any more")
    heatmap = result.heatmaps.get(verdict.seq)
    if heatmap is not None:
        shape = (heatmap.header.height, heatmap.header.width)
        dtype = np.dtype(heatmap.header.dtype).newbyteorder("<")
        values = np.frombuffer(heatmap.values, dtype).reshape(shape)
        image = drawing.overlay(image, values, scale)
    captions = (f"{verdict.evaluation} {verdict.score:.3f}, is {verdict.label}", Path(source).name)
    return drawing.Tile(image, captions, _FRAMES.get(verdict.evaluation, (120, 120, 120)))
