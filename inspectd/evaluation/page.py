"""Pieces of self-contained HTML pages: style, head, facts, galleries, pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.plots import escape
from inspectd.pictures.drawing import laid_over
from inspectd.pictures.region import Region

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
.plots.one { max-width: 640px; }
.plots div { background: #fff; border-radius: 8px; padding: 12px; }
svg { width: 100%; height: auto; display: block; }
.table { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; background: #fff; border-radius: 8px; width: 100%; }
th, td { text-align: right; padding: 7px 12px; border-bottom: 1px solid #e6e9ee; }
th:first-child, td:first-child { text-align: left; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 14px; }
figure { margin: 0; background: #fff; border-radius: 8px; overflow: hidden; }
figure img { width: 100%; display: block; aspect-ratio: 2 / 1; object-fit: contain; background: #10151c; }
figcaption { padding: 7px 10px; font-size: 13px; }
.gallery.wide { grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); }
code { background: #eef1f4; border-radius: 3px; padding: 1px 4px; font-size: 12px; }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole page that refers to nothing outside itself; `body` is HTML, `title` text."""
    head = "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    head += "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
    return "".join([head, *body, "</body></html>\n"])


def facts(values: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Figures in large type: the name of each as text, and its value as HTML."""
    yield "<div class='facts'>"
    for name, value in values:
        yield f"<div class='fact'><b>{value}</b><span>{escape(name)}</span></div>"
    yield "</div>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of texts; one that is too wide for the page is scrolled, and no word in it is broken."""
    yield f"<div class='table'><table><tr>{''.join(f'<th>{_breakable(text)}</th>' for text in headings)}</tr>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{_breakable(text)}</td>' for text in row)}</tr>"
    yield "</table></div>"


def _breakable(text: str) -> str:
    """HTML of a text, with lines that may end within names of files and models."""
    return escape(text).replace("_", "_<wbr>")


def gallery(
    title: str, figures: Sequence[tuple[NDArray[np.uint8] | None, str]], total: int, *, wide: bool = False
) -> Iterator[str]:
    """A heading with a number, and pictures (h, w, 3) uint8 BGR, each with a caption in HTML.

    A picture may be missing; `wide` leaves room for long captions.
    """
    yield f"<h2>{escape(title)} ({total})</h2>"
    if not figures:
        yield "<p class='note'>None.</p>"
        return
    yield f"<div class='gallery{' wide' if wide else ''}'>"
    for picture, caption in figures:
        image = "" if picture is None else f"<img alt='' src='{jpeg(picture)}'>"
        yield f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    yield "</div>"


def percent(share: Interval) -> str:
    """A share with its interval as HTML."""
    return f"{share.share:.1%} <small>({share.low:.1%} to {share.high:.1%})</small>"


def jpeg(picture: NDArray[np.uint8]) -> str:
    """A picture (h, w, 3) uint8 BGR as the address of an image in a page."""
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def tiled(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures (h, w, 3) uint8 BGR of one size in rows, about twice as wide as high in all."""
    height, width = pictures[0].shape[:2]
    columns = min(len(pictures), max(1, math.ceil(math.sqrt(2 * len(pictures) * height / width))))
    black = np.zeros_like(pictures[0])
    padded = [*pictures, *[black] * (-len(pictures) % columns)]
    return np.vstack([np.hstack(padded[at : at + columns]) for at in range(0, len(padded), columns)])


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small copy of an image (H, W, 3) uint8 BGR."""
    scale = _THUMBNAIL / max(frame.shape[:2])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def fitted(picture: NDArray[np.uint8], side: int = _THUMBNAIL) -> NDArray[np.uint8]:
    """A picture (H, W, 3) uint8 BGR, scaled so that its longer side has a number of pixels."""
    scale = side / max(picture.shape[:2])
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=way), dtype=np.uint8)


def beside_heatmap(
    small: NDArray[np.uint8], heatmap: NDArray[np.floating], threshold: float, region: Region | None = None
) -> NDArray[np.uint8]:
    """A small image (H, W, 3) uint8 BGR beside itself with its heatmap (h, w) laid over its region."""
    return np.hstack([small, overlaid(small, heatmap, threshold, region)])


def overlaid(
    small: NDArray[np.uint8], heatmap: NDArray[np.floating], threshold: float, region: Region | None = None
) -> NDArray[np.uint8]:
    """A small image with its heatmap laid over, which ends at the larger of threshold and its own maximum.

    What lies outside of the region that was scored is as dark as the lowest score.
    """
    values = heatmap.astype(np.float32)
    low, high = float(min(values.min(), 0.0)), float(max(values.max(), threshold))
    laid = laid_over(values, region, *small.shape[:2], outside=low)
    scaled = np.clip((laid - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    coloured = cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(small, 0.55, coloured, 0.45, 0), dtype=np.uint8)
