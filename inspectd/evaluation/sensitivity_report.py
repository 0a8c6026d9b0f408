"""A self-contained HTML page of what a bank finds of synthetic defects: curves, table, map and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from inspectd.evaluation.drawn_defects import ScoredPaste, drawn
from inspectd.evaluation.page import facts, fitted, gallery, jpeg, page, percent, table
from inspectd.evaluation.plots import Curve, MapCell, detection_svg, escape, map_svg
from inspectd.evaluation.sensitivity import (
    FEWEST_BY_PLACE,
    KindResult,
    PlaceMap,
    PlaceResult,
    Sensitivity,
    SensitivityRun,
)
from inspectd.evaluation.synthetic import KINDS, Frame
from inspectd.files import write_text

HEADINGS: Final = (
    "kind",
    "contrast",
    "pastes",
    "found",
    "large ones found",
    "found with 90 % probability from",
    "95 % bound",
)
_BINS: Final = 8
_POINTS: Final = 60
_SHOWN: Final = 2
"""Pictures of each kind in a gallery."""
_THUMBNAIL: Final = 220
_LEAST_ZOOM: Final = 24
"""Pixels of the image on each side of a paste's centre."""
_MAP_SIDE: Final = 560
_RED: Final = (60, 60, 230)


def write_sensitivity_report(path: Path, run: SensitivityRun, title: str) -> None:
    """Write the page; it refers to nothing outside itself.

    Raises:
        InputError: an image cannot be read any more.
        UnavailableError: the file cannot be written.
    """
    write_text(path, page(title, _body(run)))


def table_row(row: KindResult, result: Sensitivity) -> tuple[str, ...]:
    """What a kind and contrast has under each of `HEADINGS`."""
    a90, bound = row.curve.a90, row.curve.a90_95
    return (
        row.kind,
        f"{row.contrast:g}",
        str(row.pastes),
        f"{row.found.share:.0%}",
        f"{row.large_found.share:.0%} of {row.large_found.total}",
        "not reached" if a90 is None else size_text(a90, result),
        "not shown" if bound is None else size_text(bound, result),
    )


def size_text(size_pixels: float, result: Sensitivity) -> str:
    """A size for people, in pixels and, where their scale is given, in millimetres."""
    at_most = "at most " if size_pixels <= result.sizes_pixels[0] else ""
    text = f"{at_most}{size_pixels:.1f} px"
    scale = result.mm_per_pixel
    return text if scale is None else f"{text} = {size_pixels * scale:.3g} mm"


def place_text(cell: PlaceResult, places: PlaceMap) -> str:
    """Where a cell lies in the scored region, and what is found there, for people."""
    across = f"{cell.column / places.columns:.0%} to {(cell.column + 1) / places.columns:.0%} across"
    down = f"{cell.row / places.rows:.0%} to {(cell.row + 1) / places.rows:.0%} down"
    return f"{across}, {down}: {cell.found.count} of {cell.found.total} found"


def _body(run: SensitivityRun) -> Iterator[str]:
    result = run.result
    low, high = result.sizes_pixels
    yield f"<p class='note'>{escape(result.detector)} on {escape(result.backbone)}, "
    yield f"bank sha256 {result.bank_sha256[:16]}, {escape(result.device)}, seed {result.seed}</p>"
    yield "<p class='note'>Synthetic defects were drawn into good images that the bank has not seen; one is "
    yield "found where the image then fails. Real defects differ from them: use these figures to compare "
    yield "sizes, kinds, places and banks; <code>inspectd bank evaluate</code> measures real ones.</p>"
    if result.from_the_bank is None:
        yield "<p class='note'>This bank does not record the images it was built from, so any of these "
        yield "may be among them.</p>"
    yield from facts(
        [
            ("of the large ones found", percent(result.large_found)),
            ("threshold", f"{result.threshold:.4g}"),
            ("pastes", str(len(run.scored))),
            ("good images used", str(result.images)),
            ("good images rejected as they are", str(len(result.rejected))),
            (f"sizes; large from {size_text(result.large_pixels, result)}", f"{low:.3g} to {high:.3g} px"),
        ]
    )
    yield "<h2>Size found, by kind and contrast</h2>"
    yield from table(HEADINGS, (table_row(row, result) for row in result.kinds))
    yield "<p class='note'>Contrast is the largest change of a pixel as a share of the whole range. "
    yield "The bound is the size that is found with 90 % probability at 95 % confidence (a90/95). Not "
    yield "reached: not by the largest size tried; not shown: these pastes are too few for a bound.</p>"
    yield "<h2>Probability of detection</h2><div class='plots'>"
    for kind in dict.fromkeys(row.kind for row in result.kinds):
        yield f"<div>{_chart(run, kind)}</div>"
    yield "</div><p class='note'>Circles: share found in eighths of the pastes by size. Lines: the fitted "
    yield "curves.</p>"
    yield from _map(run)
    yield from _galleries(run)
    yield from _names("Good images rejected as they are, not used", result.rejected)
    yield from _names("Unusable images", [f"{name}: {why}" for name, why in result.skipped.items()])


def _names(title: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"<h2>{escape(title)} ({len(names)})</h2><p>{'<br>'.join(map(escape, names))}</p>"


def _chart(run: SensitivityRun, kind: str) -> str:
    sizes = np.geomspace(*run.result.sizes_pixels, _POINTS)
    curves = []
    for row in run.result.kinds:
        if row.kind == kind:
            own = [i for i in run.scored if (i.paste.kind, i.paste.contrast) == (kind, row.contrast)]
            observed = _observed(own, run.result.threshold)
            curves.append(Curve(f"contrast {row.contrast:g}", row.curve.detection(sizes), observed))
    scale = run.result.mm_per_pixel
    unit = "pixels" if scale is None else "millimetres"
    if scale is not None:
        sizes = sizes * scale
        curves = [Curve(c.name, c.shares, [(x * scale, y) for x, y in c.observed]) for c in curves]
    return detection_svg(kind, sizes, curves, f"size, {unit}")


def _observed(scored: list[ScoredPaste], threshold: float) -> list[tuple[float, float]]:
    """Mean size and share found of eighths of the pastes by size."""
    ordered = sorted(scored, key=lambda item: item.paste.size_pixels)
    parts = [[ordered[row] for row in rows] for rows in np.array_split(np.arange(len(ordered)), _BINS)]
    return [
        (
            float(np.exp(np.mean([np.log(item.paste.size_pixels) for item in part]))),
            float(np.mean([item.score > threshold for item in part])),
        )
        for part in parts
        if part
    ]


def _map(run: SensitivityRun) -> Iterator[str]:
    result, places = run.result, run.result.places
    yield "<h2>Where large ones are found</h2>"
    picture = fitted(run.images[0].read(), _MAP_SIDE)
    height, width = picture.shape[:2]
    left, top, share_width, share_height = run.region
    cell_width, cell_height = share_width * width / places.columns, share_height * height / places.rows
    cells = [
        MapCell(
            left * width + cell.column * cell_width,
            top * height + cell.row * cell_height,
            cell_width,
            cell_height,
            cell.found.share if cell.found.total >= FEWEST_BY_PLACE else None,
            f"{100 * cell.found.share:.0f}" if cell.found.total >= FEWEST_BY_PLACE else "",
        )
        for cell in places.cells
    ]
    yield f"<div class='plots'><div>{map_svg(jpeg(picture), (width, height), cells)}</div><div>"
    yield f"<p class='note'>Percent found of the pastes from {size_text(result.large_pixels, result)} on, "
    yield "of all kinds and contrasts, by the place of their centre, over one of the good images. "
    yield f"Hatched: fewer than {FEWEST_BY_PLACE} pastes. Cells differ by chance too.</p>"
    yield "<p>Fewer are found here than on the whole part, at 95 % confidence:</p>"
    blind = places.blind_spots()
    spots = "".join(f"<li>{escape(place_text(cell, places))}</li>" for cell in blind)
    yield f"<ul>{spots}</ul></div></div>" if blind else "<p class='note'>Nowhere.</p></div></div>"


def _galleries(run: SensitivityRun) -> Iterator[str]:
    threshold = run.result.threshold
    found = [item for item in run.scored if item.score > threshold]
    missed = [item for item in run.scored if item.score <= threshold]
    nearest = sorted(found, key=lambda item: item.score)
    just_missed = sorted(missed, key=lambda item: -item.score)
    clearest = sorted(missed, key=lambda item: (-item.paste.contrast, -item.paste.size_pixels))
    for title, items in (
        ("Found, nearest to the threshold", nearest),
        ("Missed, nearest to the threshold", just_missed),
        ("Missed, the clearest", clearest),
    ):
        figures = [(_thumbnail(run, item), _caption(run, item)) for item in _by_kind(items)]
        yield from gallery(title, figures, len(items))


def _by_kind(items: list[ScoredPaste]) -> list[ScoredPaste]:
    """The first of each kind."""
    return [item for kind in KINDS for item in [i for i in items if i.paste.kind == kind][:_SHOWN]]


def _caption(run: SensitivityRun, item: ScoredPaste) -> str:
    what = item.paste
    size = size_text(what.size_pixels, run.result)
    text = f"{escape(what.kind)}, {size}, contrast {what.contrast:g}"
    return f"{text}<br>{item.score:.3f} &middot; {escape(Path(run.images[what.image].name).name)}"


def _thumbnail(run: SensitivityRun, item: ScoredPaste) -> Frame:
    """The image with the paste outlined, beside what lies there, enlarged."""
    pasted = drawn(run.images[item.paste.image].read(), item.paste, item.place)
    whole = fitted(pasted.image, _THUMBNAIL)
    mask = cv2.resize(
        pasted.mask.astype(np.uint8), (whole.shape[1], whole.shape[0]), interpolation=cv2.INTER_AREA
    )
    mask = cv2.dilate(mask, np.ones((7, 7), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(whole, outlines, -1, _RED, 1)
    reach = int(max(item.paste.size_pixels * 0.8, _LEAST_ZOOM))
    height, width = pasted.image.shape[:2]
    column, row = (
        int(np.clip(centre, min(reach, length // 2), max(length - reach, length // 2)))
        for centre, length in zip(item.place, (width, height), strict=True)
    )
    near = pasted.image[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach]
    line = np.full((_THUMBNAIL, 3, 3), 255, np.uint8)
    return np.hstack([_framed(whole), line, _framed(fitted(near, _THUMBNAIL))])


def _framed(picture: Frame) -> Frame:
    """In the middle of a square."""
    square = np.full((_THUMBNAIL, _THUMBNAIL, 3), (28, 21, 16), np.uint8)
    top, left = (_THUMBNAIL - picture.shape[0]) // 2, (_THUMBNAIL - picture.shape[1]) // 2
    square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return square
