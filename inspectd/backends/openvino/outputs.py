"""Which outputs of a model from elsewhere are its score and its map of places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from inspectd.errors import InputError
from inspectd.text import printable

_SCORES: Final = ("pred_score", "anomaly_score", "image_score", "score")
"""Usual names of a score, anomalib's first."""
_MAPS: Final = ("anomaly_map", "score_map", "heatmap", "map")


def outputs_of(
    path: Path, model: Any, score_output: str | None, map_output: str | None
) -> tuple[str | None, str | None]:
    """Names of the score and of the map; None: it gives none.

    Args:
        path: of the model, for messages.
        model: of OpenVINO, with fixed shapes.
        score_output: name that the user gave; None: found.
        map_output: the same.

    Raises:
        InputError: there is neither, there is none of the name, or several could be meant.
    """
    shapes = {name: _shape(output) for output, name in _named(model) if output.get_element_type().is_real()}
    told = (
        printable(", ".join(f"{name[:100]} {shape or '[of any shape]'}" for name, shape in shapes.items()))
        or "none"
    )
    found = []
    for option, given, names, fits in (
        ("--score-output", score_output, _SCORES, is_score),
        ("--map-output", map_output, _MAPS, is_map),
    ):
        if given is not None and not (given in shapes and fits(shapes[given])):
            raise InputError(f"{option}: got {given!r}, model {path} has {told}")
        fitting = [name for name, shape in shapes.items() if shape and fits(shape)]
        usual = [name for name in names if name in fitting]
        if given is None and not usual and len(fitting) > 1 and not (score_output or map_output):
            raise InputError(
                f"model {path}: has several outputs of a kind, {told}: expected one named by {option}"
            )
        found.append(given or next(iter(usual), fitting[0] if len(fitting) == 1 else None))
    if found == [None, None]:
        raise InputError(
            f"model {path}: has the outputs {told}: expected a score, one number, or a map, [1,1,H,W], of "
            "one picture"
        )
    return found[0], found[1]


def is_score(shape: list[int]) -> bool:
    """Whether an output of a shape is one number."""
    return math.prod(shape) == 1


def is_map(shape: list[int]) -> bool:
    """Whether an output of a shape is one map of places: [H, W] with only ones before it or after it."""
    sides = [side for side in shape if side != 1]
    return (
        min(sides, default=0) > 0
        and len(sides) == 2
        and len(shape) <= 4
        and shape.index(sides[1], shape.index(sides[0]) + 1) == (shape.index(sides[0]) + 1)
    )


def _named(model: Any) -> Iterator[tuple[Any, str]]:
    for output in model.outputs:
        yield output, name_of(output)


def name_of(output: Any) -> str:
    """Name of an input or output, as people see it in their export."""
    names: Iterable[str] = output.get_names()
    return min(names, default=output.get_node().get_friendly_name())


def _shape(output: Any) -> list[int]:
    shape = output.get_partial_shape()
    return list(shape.to_shape()) if shape.is_static else []
