"""Banks of any kinds side by side: their figures, and the images that they judge differently, as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.answers import scores_that_count
from inspectd.bank.file import BankFile
from inspectd.bank.images import read_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.threshold import default_threshold
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.evaluate import PARTS_COUNT, BankReport, Judged, Judgement, rate_above
from inspectd.evaluation.page import gallery, overlaid, page, table, thumbnail, tiled
from inspectd.evaluation.plots import escape
from inspectd.files import write_text

_MOST_PICTURES: Final = 24
"""Of each kind of disagreement; the page holds every picture within itself."""


@dataclass(frozen=True)
class Compared:
    """One bank of a comparison.

    Attributes:
        path: its file.
        label: for people, no two alike.
        judgement: of all images.
        budget_threshold: the score that a stated share of its own good images exceeds.
        found: share of defective images, or parts, above that.
        rejected: share of good ones above it.
        memory_mb: what a process that scores with it alone holds; None: not measured.
    """

    path: Path
    label: str
    judgement: Judgement
    budget_threshold: float
    found: Interval
    rejected: Interval
    memory_mb: float | None

    @property
    def report(self) -> BankReport:
        """Its figures."""
        return self.judgement.report


def refuse_incomparable(path: Path, bank: BankFile) -> None:
    """Refuse a bank that has no threshold at a budget of false rejects.

    Raises:
        InputError: it holds no scores of its own images.
    """
    if not OwnImages.of(bank).recorded:
        raise InputError(f"bank {path}: does not hold the scores of its own images; build it again")


def compared(
    path: Path, label: str, bank: BankFile, judgement: Judgement, *, budget: float, memory_mb: float | None
) -> Compared:
    """A bank that `refuse_incomparable` let through, at the threshold of a budget by its own good scores."""
    threshold = default_threshold(scores_that_count(bank), budget)[0]
    found, rejected = (rate_above(judgement.judged, threshold, defective=kind) for kind in (True, False))
    return Compared(path, label, judgement, threshold, found, rejected, memory_mb)


def figures_of(banks: Sequence[Compared], budget: float) -> Iterator[tuple[str, ...]]:
    """Rows of a table for people: a figure, then its value for each bank."""
    reports = [bank.report for bank in banks]
    yield "detector", *(f"{report.detector} on {report.backbone}" for report in reports)
    for name, text in (
        ("image AUROC", "image_auroc"), ("average precision", "average_precision"), ("best F1", "f1_max"),
        ("pixel AUROC", "pixel_auroc"), ("AUPRO to 0.3", "aupro"),
    ):  # fmt: skip
        yield name, *(_figure(getattr(report, text)) for report in reports)
    yield f"found, {100 * budget:g} % budget", *(_share(bank.found) for bank in banks)
    yield f"rejected, {100 * budget:g} % budget", *(_share(bank.rejected) for bank in banks)
    yield "found, own threshold", *(f"{1 - report.escape_rate:.1%}" for report in reports)
    yield "rejected, own threshold", *(f"{report.false_reject_rate:.1%}" for report in reports)
    otherwise = otherwise_than_first(banks)
    yield "fails what the first passes", *(str(to_fail) for to_fail, _ in otherwise)
    yield "passes what the first fails", *(str(to_pass) for _, to_pass in otherwise)
    yield "one image, ms, p50", *(f"{report.latency_ms['p50']:.1f}" for report in reports)
    yield "one image, ms, p99", *(f"{report.latency_ms['p99']:.1f}" for report in reports)
    yield "bank, MB", *(f"{report.bank_mb:.1f}" for report in reports)
    yield "memory, MB", *("not measured" if b.memory_mb is None else f"{b.memory_mb:.0f}" for b in banks)
    yield "the bank's own images", *(_own(report) for report in reports)


def otherwise_than_first(banks: Sequence[Compared]) -> list[tuple[int, int]]:
    """Images each bank fails and the first one passes, and the other way round."""
    return [_otherwise(banks[0].judgement, bank.judgement) for bank in banks]


def write_comparison(path: Path, banks: Sequence[Compared], budget: float, title: str) -> None:
    """Write the page; it refers to nothing outside itself.

    Raises:
        UnavailableError: the file cannot be written.
    """
    write_text(path, page(title, _body(banks, budget)))


def _body(banks: Sequence[Compared], budget: float) -> Iterator[str]:
    first = banks[0].report
    parts = "" if first.parts is None else f" of {first.parts} parts"
    yield f"<p class='note'>{first.images} images{parts}, {escape(first.device)}. At a budget: at the score "
    yield f"that {100 * budget:g} % of each bank's own good images exceed.</p>"
    if parts:
        yield f"<p class='note'>{PARTS_COUNT}.</p>"
    yield from table(("", *(bank.label for bank in banks)), figures_of(banks, budget))
    by_path = [{item.image.path: item for item in bank.judgement.judged} for bank in banks]
    common = [path for path in by_path[0] if all(path in judged for judged in by_path)]
    apart = [
        path for path in common if len({_fails(banks, by_path, at, path) for at in range(len(banks))}) > 1
    ]
    for heading, defective in (("Defects that some pass", True), ("Good parts that some fail", False)):
        paths = [path for path in apart if by_path[0][path].image.defective is defective]
        paths.sort(key=lambda path: -_spread(banks, by_path, path))
        figures = [_figure_of(banks, by_path, path) for path in paths[:_MOST_PICTURES]]
        yield from gallery(heading, figures, len(paths), wide=True)
    yield "<p class='note'>Each shows the image, then each bank's heatmap, row by row, as in the table.</p>"


def _fails(banks: Sequence[Compared], judged: Sequence[Mapping[Path, Judged]], at: int, path: Path) -> bool:
    return judged[at][path].score > banks[at].report.threshold


def _spread(banks: Sequence[Compared], judged: Sequence[Mapping[Path, Judged]], path: Path) -> float:
    """How far apart the banks' scores are, each as a multiple of its threshold."""
    shares = [
        items[path].score / (abs(bank.report.threshold) or 1.0)
        for bank, items in zip(banks, judged, strict=True)
    ]
    return max(shares) - min(shares)


def _figure_of(
    banks: Sequence[Compared], judged: Sequence[Mapping[Path, Judged]], path: Path
) -> tuple[NDArray[np.uint8], str]:
    frame = read_image(path, banks[0].report.bit_depth)
    small = thumbnail(np.zeros((1, 1, 3), np.uint8) if frame is None else frame)
    pictures, said = [small], []
    for at, bank in enumerate(banks):
        item, threshold = judged[at][path], bank.report.threshold
        pictures.append(overlaid(small, item.heatmap, threshold, bank.report.region))
        verdict = "fail" if _fails(banks, judged, at, path) else "pass"
        said.append(f"{escape(bank.label)}: {verdict}, {item.score:.4g} of {threshold:.4g}")
    label = escape(f"{judged[0][path].image.label} · {path.name}")
    return tiled(pictures), f"{label}<br>{'<br>'.join(said)}"


def _otherwise(first: Judgement, other: Judgement) -> tuple[int, int]:
    passed = {item.image.path: item.score <= first.report.threshold for item in first.judged}
    passes = {item.image.path: item.score <= other.report.threshold for item in other.judged}
    both = passed.keys() & passes.keys()
    return (
        sum(passed[path] and not passes[path] for path in both),
        sum(passes[path] and not passed[path] for path in both),
    )


def _figure(value: float | None) -> str:
    return "no masks" if value is None else f"{value:.4f}"


def _share(value: Interval) -> str:
    return f"{value.share:.1%} ({value.low:.1%}-{value.high:.1%})"


def _own(report: BankReport) -> str:
    return "not known" if report.from_the_bank is None else f"{len(report.from_the_bank)} of {report.images}"
