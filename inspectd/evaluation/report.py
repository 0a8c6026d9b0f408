"""A self-contained HTML page of an evaluation: curves, score histograms, tables and a gallery."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from inspectd.bank.images import read_image
from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.evaluate import BankReport, Judged, Judgement
from inspectd.evaluation.plots import escape, histogram_svg, roc_svg
from inspectd.files import write_text

_GALLERY: Final = 12
_THUMBNAIL: Final = 220

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #f5f6f8; margin: 0 auto;
  max-width: 1160px; padding: 24px; overflow-wrap: anywhere; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 32px 0 10px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; }
.fact { background: #fff; border-radius: 8px; padding: 12px 14px; }
.fact b { font-size: 22px; display: block; }
.fact small { display: block; font-size: 13px; font-weight: 400; }
.fact span, .note { color: #5a6676; font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px; }
.plots div { background: #fff; border-radius: 8px; padding: 12px; }
svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; background: #fff; border-radius: 8px; width: 100%; }
th, td { text-align: right; padding: 7px 12px; border-bottom: 1px solid #e6e9ee; }
th:first-child, td:first-child { text-align: left; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 14px; }
figure { margin: 0; background: #fff; border-radius: 8px; overflow: hidden; }
figure img { width: 100%; display: block; aspect-ratio: 2 / 1; object-fit: contain; background: #10151c; }
figcaption { padding: 7px 10px; font-size: 13px; }
"""


def write_report(path: Path, judgement: Judgement, title: str) -> None:
    """Write the page; it refers to nothing outside itself.

    Raises:
        UnavailableError: the file cannot be written.
    """
    write_text(path, "".join(_page(judgement, title)))


def _page(judgement: Judgement, title: str) -> Iterator[str]:
    result = judgement.report
    yield f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    yield f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    yield f"<p class='note'>{escape(result.detector)} on {escape(result.backbone)}, {result.images} images, "
    yield f"bank sha256 {result.bank_sha256[:16]}, {escape(result.device)}</p>"
    if result.from_the_bank:
        yield f"<p class='note'>{len(result.from_the_bank)} of {result.images} images are those the bank was "
        yield "built from. They count with the scores they had while they were left out of it, and in no "
        yield "figure of pixels; their heatmaps show what the bank remembers of them.</p>"
    elif result.from_the_bank is None:
        yield "<p class='note'>This bank does not record the images it was built from, so any of these "
        yield "may be among them.</p>"
    yield from _facts(result)
    yield from _plots(judgement)
    yield from _classes(result)
    yield from _galleries(judgement)
    if result.skipped:
        skipped = "<br>".join(escape(f"{name}: {why}") for name, why in result.skipped.items())
        yield f"<h2>Unusable images</h2><p>{skipped}</p>"
    yield "</body></html>\n"


def _facts(result: BankReport) -> Iterator[str]:
    facts = [
        ("image AUROC", f"{result.image_auroc:.4f}"),
        ("average precision", f"{result.average_precision:.4f}"),
        ("best F1", f"{result.f1_max:.4f}"),
        ("pixel AUROC", "no masks" if result.pixel_auroc is None else f"{result.pixel_auroc:.4f}"),
        ("AUPRO to 0.3", "no masks" if result.aupro is None else f"{result.aupro:.4f}"),
        ("false rejects", _percent(result.false_rejects)),
        ("escapes", _percent(result.escapes)),
        ("threshold", f"{result.threshold:.4g}"),
        ("one image, p50 / p99", f"{result.latency_ms['p50']:.1f} / {result.latency_ms['p99']:.1f} ms"),
        ("bank", f"{result.bank_mb:.1f} MB"),
    ]
    yield "<div class='facts'>"
    for name, value in facts:
        yield f"<div class='fact'><b>{value}</b><span>{name}</span></div>"
    yield "</div>"


def _plots(judgement: Judgement) -> Iterator[str]:
    truth = np.array([item.image.defective for item in judgement.judged])
    scores = np.array([item.score for item in judgement.judged])
    false_positive, true_positive, _ = metrics.roc_curve(truth, scores)
    result = judgement.report
    point = (result.false_reject_rate, 1.0 - result.escape_rate)
    yield "<h2>Curves</h2><div class='plots'>"
    yield f"<div>{roc_svg(false_positive, true_positive, point)}</div>"
    yield f"<div>{histogram_svg(scores[~truth], scores[truth], result.threshold)}</div></div>"


def _classes(result: BankReport) -> Iterator[str]:
    yield "<h2>By label, at the bank's threshold</h2><table><tr><th>label</th><th>images</th>"
    yield "<th>judged fail</th><th>95 % interval</th><th>mean score</th></tr>"
    for row in result.classes:
        share = row.failed
        yield f"<tr><td>{escape(row.label)}</td><td>{row.images}</td><td>{share.share:.1%}</td>"
        yield f"<td>{share.low:.1%} to {share.high:.1%}</td><td>{row.mean_score:.3f}</td></tr>"
    yield "</table>"


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
        yield f"<h2>{name} ({len(items)})</h2>"
        if not items:
            yield "<p class='note'>None.</p>"
            continue
        yield "<div class='gallery'>"
        for item in items[:_GALLERY]:
            yield f"<figure><img alt='' src='data:image/jpeg;base64,{_thumbnail(item, threshold)}'>"
            yield f"<figcaption>{escape(item.image.label)} &middot; {item.score:.3f}<br>"
            known = ", of the bank's own" if item.from_the_bank else ""
            yield f"{escape(item.image.path.name)}{known}</figcaption></figure>"
        yield "</div>"


def _percent(share: Interval) -> str:
    return f"{share.share:.1%} <small>({share.low:.1%} to {share.high:.1%})</small>"


def _thumbnail(item: Judged, threshold: float) -> str:
    """The image beside itself with its heatmap laid over, as base64 JPEG."""
    frame = read_image(item.image.path)
    if frame is None:  # it was readable a moment ago
        frame = np.zeros((_THUMBNAIL, _THUMBNAIL, 3), dtype=np.uint8)
    small = cv2.resize(frame, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    pair = np.hstack([small, _overlaid(small, item.heatmap, threshold)])
    _, encoded = cv2.imencode(".jpg", pair, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return base64.b64encode(encoded.tobytes()).decode()


def _overlaid(small: NDArray[np.uint8], heatmap: NDArray[np.float16], threshold: float) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 BGR; the colour scale ends at the larger of threshold and the map's own maximum."""
    values = heatmap.astype(np.float32)
    low, high = float(min(values.min(), 0.0)), float(max(values.max(), threshold))
    scaled = np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    size = (small.shape[1], small.shape[0])
    coloured = cv2.applyColorMap(
        cv2.resize(scaled, size, interpolation=cv2.INTER_LINEAR), cv2.COLORMAP_INFERNO
    )
    return np.asarray(cv2.addWeighted(small, 0.55, coloured, 0.45, 0), dtype=np.uint8)
