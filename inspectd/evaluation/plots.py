"""Small charts as SVG text."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.text import printable

_WIDTH: Final = 520
_HEIGHT: Final = 380
_LEFT: Final = 76
_RIGHT: Final = 16
_TOP: Final = 34
_BOTTOM: Final = 46
_BINS: Final = 40
_GOOD: Final = "#2a7f9e"
_DEFECTIVE: Final = "#d2553a"
_INK: Final = "#1c2430"
_QUARTERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_SCALE: Final = ("#b3261e", "#f2c14e", "#1f78a4")
_LINES: Final = ("#2a7f9e", "#d2553a", "#6a4c93", "#4f772d", "#b5651d")

Floats = NDArray[np.floating]


def escape(text: str) -> str:
    """A stranger's text in a page or picture: printable, and no markup."""
    return html.escape(printable(text))


class PlotFrame:
    """A plot area with axes; maps data to pixels. `x_ticks`: values and labels; default: quarters."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float, str],
        y: tuple[float, float, str],
        x_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        self._x, self._y = x, y
        quarters = [x[0] + fraction * (x[1] - x[0]) for fraction in _QUARTERS]
        self._x_ticks = [(value, f"{value:.3g}") for value in quarters] if x_ticks is None else x_ticks
        view = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" xmlns="http://www.w3.org/2000/svg"'
        font = f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}"'
        heading = f'x="{_LEFT}" y="20" font-size="14" font-weight="600"'
        self._parts = [f"<svg {view} {font}>", f"<text {heading}>{escape(title)}</text>"]
        self._axes()

    def line(self, x: Sequence[float], y: Sequence[float], colour: str, dash: str = "") -> None:
        """A line through points."""
        points = " ".join(f"{self._px(a):.1f},{self._py(b):.1f}" for a, b in zip(x, y, strict=True))
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        self._parts.append(f'<polyline points="{points}" {style}/>')

    def dot(
        self, x: float, y: float, colour: str, label: str = "", *, filled: bool = True, radius: float = 5
    ) -> None:
        """A point, with a label beside it that stays inside the frame."""
        px, py = self._px(x), self._py(y)
        style = f'fill="{colour if filled else "#fff"}" stroke="{colour}" stroke-width="2"'
        self._parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius}" {style}/>')
        anchor, offset = ("end", -9) if px > _WIDTH * 0.7 else ("start", 9)
        place = f'x="{px + offset:.1f}" y="{py + 4:.1f}" text-anchor="{anchor}"'
        self._parts.append(f"<text {place}>{escape(label)}</text>")

    def bar(self, left: float, right: float, height: float, colour: str) -> None:
        """An upright bar from zero."""
        x, y = self._px(left), self._py(height)
        size = f'width="{self._px(right) - x:.1f}" height="{self._py(0) - y:.1f}"'
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}" fill-opacity="0.55"/>')

    def band(self, low: float, high: float, colour: str) -> None:
        """A level band over the whole width, cut off at the plot's edges."""
        top, bottom = (self._py(min(max(y, self._y[0]), self._y[1])) for y in (high, low))
        size = f'width="{_WIDTH - _LEFT - _RIGHT}" height="{bottom - top:.1f}"'
        self._parts.append(f'<rect x="{_LEFT}" y="{top:.1f}" {size} fill="{colour}" fill-opacity="0.1"/>')

    def legend(
        self,
        entries: Sequence[tuple[str, str]],
        corner: tuple[float, float] = (_WIDTH - _RIGHT - 130, _TOP + 12),
    ) -> None:
        """Names and their colours, below each other; default: in the upper right."""
        x, top = corner
        for row, (name, colour) in enumerate(entries):
            y = top + 17 * row
            self._parts.append(f'<rect x="{x}" y="{y - 9}" width="11" height="11" fill="{colour}"/>')
            self._parts.append(f'<text x="{x + 17}" y="{y + 1}">{escape(name)}</text>')

    def svg(self) -> str:
        """The whole picture."""
        return "".join([*self._parts, "</svg>"])

    def _px(self, value: float) -> float:
        low, high, _ = self._x
        return _LEFT + (value - low) / (high - low or 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def _py(self, value: float) -> float:
        low, high, _ = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low or 1.0) * (_HEIGHT - _TOP - _BOTTOM)

    def _axes(self) -> None:
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for fraction in _QUARTERS:
            y = self._y[0] + fraction * (self._y[1] - self._y[0])
            py = self._py(y)
            self._parts.append(
                f'<line x1="{_LEFT}" x2="{right}" y1="{py:.1f}" y2="{py:.1f}" stroke="#e3e7ec"/>'
            )
            self._parts.append(f'<text x="{_LEFT - 7}" y="{py + 4:.1f}" text-anchor="end">{y:.3g}</text>')
        for x, label in self._x_ticks:
            place = f'x="{self._px(x):.1f}" y="{bottom + 17}" text-anchor="middle"'
            self._parts.append(f"<text {place}>{escape(label)}</text>")
        middle = f'x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle"'
        self._parts.append(f"<text {middle}>{escape(self._x[2])}</text>")
        upright = f'transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle"'
        self._parts.append(f"<text {upright}>{escape(self._y[2])}</text>")


def roc_svg(false_positive: Floats, true_positive: Floats, at_threshold: tuple[float, float]) -> str:
    """A ROC curve with the threshold's point, given as (false-reject rate, caught share)."""
    frame = PlotFrame("ROC", (0.0, 1.0, "good parts rejected"), (0.0, 1.0, "defects caught"))
    frame.line([0, 1], [0, 1], "#b9c1cc", "4 4")
    frame.line(false_positive.tolist(), true_positive.tolist(), _GOOD)
    frame.dot(*at_threshold, _DEFECTIVE, "threshold")
    return frame.svg()


def histogram_svg(good: Floats, defective: Floats, threshold: float) -> str:
    """Score histograms of good and defective images, with the threshold."""
    everything = np.concatenate([good, defective, [threshold]])
    edges = np.linspace(float(everything.min()), float(everything.max()) or 1.0, _BINS + 1)
    shares = [np.histogram(scores, edges)[0] / len(scores) for scores in (good, defective)]
    frame = PlotFrame(
        "Scores",
        (float(edges[0]), float(edges[-1]), "image score"),
        (0.0, float(np.max(shares)), "share of images"),
    )
    for heights, colour in zip(shares, (_GOOD, _DEFECTIVE), strict=True):
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            frame.bar(float(left), float(right), float(height), colour)
    frame.line([threshold, threshold], [0.0, float(np.max(shares))], _INK, "5 4")
    frame.legend([("good", _GOOD), ("defective", _DEFECTIVE), ("threshold", _INK)])
    return frame.svg()


def good_scores_svg(counted: Floats, unlike: Floats, threshold: float) -> str:
    """A histogram of good scores (n,) with the threshold; those of images unlike the rest (k,) as points.

    The axis ends a little above the threshold and the counted scores, so that they can be told apart: what
    lies beyond it is named at its end.
    """
    low, high = float(min(counted.min(), threshold)), float(max(counted.max(), threshold))
    high += 0.4 * (high - low) or 1.0
    edges = np.linspace(low, high, _BINS + 1)
    heights = np.histogram(counted, edges)[0]
    most = float(heights.max())
    frame = PlotFrame(
        "Scores of good images while they were left out", (low, high, "image score"), (0.0, most, "images")
    )
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        frame.bar(float(left), float(right), float(height), _GOOD)
    frame.line([threshold, threshold], [0.0, most], _INK, "5 4")
    beyond = unlike[unlike > high]
    for score in unlike[unlike <= high]:
        frame.dot(float(score), 0.0, _DEFECTIVE)
    if beyond.size:
        frame.dot(high, 0.5 * most, _DEFECTIVE, f"{beyond.size} beyond, up to {beyond.max():.3g}")
    frame.legend([("counted", _GOOD), ("unlike the rest", _DEFECTIVE), ("threshold", _INK)])
    return frame.svg()


def trade_off_svg(
    points: Sequence[tuple[float, float, str]],
    pareto: Sequence[bool],
    recommended: int,
    x_name: str,
    y_name: str,
) -> str:
    """Accuracy (y) against cost (x), Pareto points filled, the recommended one named."""
    x = [point[0] for point in points]
    y = [point[1] for point in points]
    margin = 0.05 * (max(y) - min(y) or 0.01)
    frame = PlotFrame(
        f"{y_name} against {x_name}", (0.0, max(x) * 1.05, x_name), (min(y) - margin, max(y) + margin, y_name)
    )
    for index, (px, py, label) in enumerate(points):
        frame.dot(
            px,
            py,
            _DEFECTIVE if index == recommended else _GOOD,
            label if pareto[index] else "",
            filled=pareto[index],
        )
    return frame.svg()


@dataclass(frozen=True)
class Curve:
    """A line over sizes with the shares it was fitted to.

    Attributes:
        name: for the legend.
        shares: of the line, at the sizes of the chart.
        observed: sizes and shares, drawn as points.
    """

    name: str
    shares: Floats
    observed: Sequence[tuple[float, float]]


def detection_svg(title: str, sizes: Floats, curves: Sequence[Curve], x_name: str) -> str:
    """Share found (y) against size on a logarithmic scale (x), with a line at 90 %."""
    low, high = float(np.log(sizes[0])), float(np.log(sizes[-1]))
    steps = [step * 10.0**power for power in range(-4, 6) for step in (1, 2, 5)]
    ticks = [(math.log(step), f"{step:g}") for step in steps if sizes[0] <= step <= sizes[-1]]
    frame = PlotFrame(title, (low, high, x_name), (0.0, 1.0, "share found"), ticks)
    frame.line([low, high], [0.9, 0.9], "#b9c1cc", "4 4")
    for curve, colour in zip(curves, itertools.cycle(_LINES), strict=False):
        frame.line(np.log(sizes).tolist(), curve.shares.tolist(), colour)
        for size, share in curve.observed:
            frame.dot(math.log(size), share, colour, filled=False, radius=3)
    frame.legend(
        [(curve.name, colour) for curve, colour in zip(curves, _LINES, strict=False)], (_LEFT + 12, _TOP + 54)
    )
    return frame.svg()


@dataclass(frozen=True)
class MapCell:
    """One cell of a map.

    Attributes:
        left, top, width, height: in pixels of the picture.
        share: 0 to 1; None: too little is known.
        label: text in it.
    """

    left: float
    top: float
    width: float
    height: float
    share: float | None
    label: str


_MAP_FONT: Final = 'font-family="system-ui, sans-serif" text-anchor="middle"'
_HATCHES: Final = (
    '<defs><pattern id="few" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" fill="#fff" fill-opacity="0.35"/>'
    '<rect width="2" height="6" fill="#1c2430" fill-opacity="0.45"/></pattern></defs>'
)


def map_svg(picture: str, size: tuple[int, int], cells: Sequence[MapCell]) -> str:
    """Cells laid over a picture: from red (0) over yellow to blue (1); hatched where the share is not known.

    Args:
        picture: its address, such as `page.jpeg` gives.
        size: its width and height in pixels.
        cells: see `MapCell`.
    """
    width, height = size
    parts = [
        f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" {_MAP_FONT}>{_HATCHES}',
        f'<image href="{picture}" width="{width}" height="{height}"/>',
    ]
    for cell in cells:
        fill = 'fill="url(#few)"'
        if cell.share is not None:
            fill = f'fill="{_scale(cell.share)}" fill-opacity="0.65"'
        box = f'x="{cell.left:.1f}" y="{cell.top:.1f}" width="{cell.width:.1f}" height="{cell.height:.1f}"'
        parts.append(f'<rect {box} {fill} stroke="#fff" stroke-opacity="0.5" stroke-width="0.6"/>')
        middle = f'x="{cell.left + cell.width / 2:.1f}" y="{cell.top + cell.height / 2 + 4:.1f}"'
        font = 'font-size="11" fill="#fff" stroke="#1c2430" stroke-width="2.4" paint-order="stroke"'
        parts.append(f"<text {middle} {font}>{escape(cell.label)}</text>")
    return "".join([*parts, "</svg>"])


def _scale(share: float) -> str:
    """The colour of a share, as #rrggbb."""
    stops = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in _SCALE])
    mixed = [int(np.rint(np.interp(share * 2, (0, 1, 2), channel))) for channel in stops.T]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
