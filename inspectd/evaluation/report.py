"""A self-contained HTML page of an evaluation: curves, score histograms, tables and a gallery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from inspectd.bank.images import read_image
from inspectd.evaluation.evaluate import (
    PARTS_COUNT,
    BankReport,
    Judged,
    Judgement,
    class_cells,
    class_headings,
)
from inspectd.evaluation.page import beside_heatmap, facts, gallery, page, percent, table, thumbnail
from inspectd.evaluation.plots import escape, histogram_svg, roc_svg
from inspectd.files import write_text

_GALLERY: Final = 12


def write_report(path: Path, judgement: Judgement, title: str) -> None:
    """Write the page; it refers to nothing outside itself.

    Raises:
        UnavailableError: the file cannot be written.
    """
    write_text(path, page(title, _body(judgement)))


def _body(judgement: Judgement) -> Iterator[str]:
    result = judgement.report
    yield f"<p class='note'>{escape(result.detector)} on {escape(result.backbone)}, {result.images} images, "
    yield f"bank sha256 {result.bank_sha256[:16]}, {escape(result.device)}</p>"
    if result.from_the_bank:
        yield f"<p class='note'>{len(result.from_the_bank)} of {result.images} images are those the bank was "
        yield "built from. They count with the scores they had while they were left out of it, and in no "
        yield "figure of pixels; their heatmaps show what the bank remembers of them.</p>"
    elif result.from_the_bank is None:
        yield "<p class='note'>This bank does not record the images it was built from, so any of these "
        yield "may be among them.</p>"
    if result.parts is not None:
        yield f"<p class='note'>The images show {result.parts} parts. {escape(PARTS_COUNT)}.</p>"
    yield from _facts(result)
    yield from _plots(judgement)
    yield "<h2>Found at the bank's threshold, by class of defect</h2>"
    yield from table(class_headings(result), class_cells(result))
    yield from _galleries(judgement)
    if result.skipped:
        skipped = "<br>".join(escape(f"{name}: {why}") for name, why in result.skipped.items())
        yield f"<h2>Images left out</h2><p>{skipped}</p>"


def _facts(result: BankReport) -> Iterator[str]:
    values = [
        ("image AUROC", f"{result.image_auroc:.4f}"),
        ("average precision", f"{result.average_precision:.4f}"),
        ("best F1", f"{result.f1_max:.4f}"),
        ("pixel AUROC", "no masks" if result.pixel_auroc is None else f"{result.pixel_auroc:.4f}"),
        ("AUPRO to 0.3", "no masks" if result.aupro is None else f"{result.aupro:.4f}"),
        ("false rejects", percent(result.false_rejects)),
        ("escapes", percent(result.escapes)),
        ("threshold", f"{result.threshold:.4g}"),
        ("one image, p50 / p99", f"{result.latency_ms['p50']:.1f} / {result.latency_ms['p99']:.1f} ms"),
        ("bank", f"{result.bank_mb:.1f} MB"),
    ]
    yield from facts(values)


def _plots(judgement: Judgement) -> Iterator[str]:
    truth = np.array([item.image.defective for item in judgement.judged])
    scores = np.array([item.score for item in judgement.judged])
    false_positive, true_positive, _ = metrics.roc_curve(truth, scores)
    result = judgement.report
    point = (result.false_reject_rate, 1.0 - result.escape_rate)
    yield "<h2>Curves</h2><div class='plots'>"
    yield f"<div>{roc_svg(false_positive, true_positive, point)}</div>"
    yield f"<div>{histogram_svg(scores[~truth], scores[truth], result.threshold)}</div></div>"


def _galleries(judgement: Judgement) -> Iterator[str]:
    threshold = judgement.report.threshold
    ordered = sorted(judgement.judged, key=lambda item: item.score)
    escapes = [item for item in ordered if item.image.defective and item.score <= threshold]
    rejects = [item for item in reversed(ordered) if not item.image.defective and item.score > threshold]
    caught = [item for item in reversed(ordered) if item.image.defective and item.score > threshold]
    for name, items in (
        ("Worst escapes", escapes),
        ("Worst false rejects", rejects),
        ("Clearest defects", caught),
    ):
        figures = [(_pictures(item, judgement.report), _caption(item)) for item in items[:_GALLERY]]
        yield from gallery(name, figures, len(items))


def _caption(item: Judged) -> str:
    known = ", of the bank's own" if item.from_the_bank else ""
    label = f"{escape(item.image.label)} &middot; {item.score:.3f}"
    return f"{label}<br>{escape(item.image.path.name)}{known}"


def _pictures(item: Judged, result: BankReport) -> NDArray[np.uint8]:
    """The image beside its heatmap."""
    frame = read_image(item.image.path, result.bit_depth)
    if frame is None:  # it was readable a moment ago
        frame = np.zeros((1, 1, 3), dtype=np.uint8)
    return beside_heatmap(thumbnail(frame), item.heatmap, result.threshold, result.region)
