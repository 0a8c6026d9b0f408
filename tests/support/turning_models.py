"""Models that are as `spot_model` for all pictures but some, made for what becomes of those."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.foreign_models import SIDE, good_parts, spot_model

Turn = Literal["nan", "inf", "-inf", "error", "crash"]
MARKED = 27
"""Values above 0.97 in a picture on which the models turn: 3 x 3 pixels of 3 colours."""


def turning(turn: Turn, output: str = "pred_score", *, fewest: int = MARKED) -> Any:
    """A model that gives such values, fails, or takes its process with it, for pictures that are `marked`.

    With `fewest` it does so for pictures that have so many values above 0.97.
    """
    model = spot_model()
    graph = model.graph
    usual = _set_aside(model, output)
    for name, value in (("high", 0.97), ("fewest", fewest - 0.5), ("most", fewest + 0.5), ("one", 1.0)):
        graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    graph.node.extend(
        [
            helper.make_node("Greater", ["input", "high"], ["bright"]),
            helper.make_node("Cast", ["bright"], ["bright_number"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["bright_number"], ["count"], keepdims=0),
            helper.make_node("Greater", ["count", "fewest"], ["enough"]),
            helper.make_node("Less", ["count", "most"], ["few"]),
            helper.make_node("And", ["enough", "few"], ["marked"]),
            helper.make_node("Cast", ["marked"], ["marked_number"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["one", "marked_number"], ["nothing"]),
        ]
    )
    if turn in {"nan", "inf", "-inf"}:
        kind, inputs = {
            "nan": ("Div", ["nothing", "nothing"]),
            "inf": ("Div", ["one", "nothing"]),
            "-inf": ("Log", ["nothing"]),
        }[turn]
        graph.node.append(helper.make_node(kind, inputs, ["endless"]))
        graph.node.append(helper.make_node("Where", ["marked", "endless", usual], [output]))
        return model
    far, table = numpy_helper.from_array(np.float32(1.9e9), "far"), np.zeros(8, np.float32)
    graph.initializer.extend([far, numpy_helper.from_array(table, "table")])
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "shape"))
    graph.node.append(helper.make_node("Mul", ["marked_number", "far"], ["far_number"]))
    graph.node.append(helper.make_node("Cast", ["far_number"], ["place_alone"], to=TensorProto.INT64))
    graph.node.append(helper.make_node("Reshape", ["place_alone", "shape"], ["place"]))
    if turn == "crash":  # OpenVINO reads where there is no memory
        graph.node.append(helper.make_node("GatherND", ["table", "place"], ["nought"]))
    else:
        graph.initializer.append(numpy_helper.from_array(table[:1], "written"))
        graph.node.append(helper.make_node("ScatterElements", ["table", "place", "written"], ["noughts"]))
        graph.node.append(helper.make_node("ReduceMax", ["noughts"], ["nought"], keepdims=0))
    graph.node.append(helper.make_node("Add", [usual, "nought"], [output]))
    return model


def _set_aside(model: Any, output: str) -> str:
    """Give an output another name wherever it occurs within, for a node to take its place."""
    usual = f"usual_{output}"
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [usual if name == output else name for name in names]
    return usual


def scaled(factor: float, more: float) -> Any:
    """Its map times a factor, and more; its score is the map's highest place."""
    model = spot_model()
    for name, value in (("factor", factor), ("more", more)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    model.graph.node[1].output[0] = "plain"
    model.graph.node.insert(2, helper.make_node("Mul", ["plain", "factor"], ["larger"]))
    model.graph.node.insert(3, helper.make_node("Add", ["larger", "more"], ["anomaly_map"]))
    return model


def marked(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A good part (SIDE, SIDE, 3) with a spot on which the models turn."""
    spoilt = picture.copy()
    spoilt[8:11, 8:11] = 255
    return spoilt


def parts_and_marked(folder: Path, good: int, bad: int) -> Path:
    """A folder of good parts `good-*.png`, then such with a mark, `marked-*.png`."""
    good_parts(folder, good + bad, SIDE)
    for number, path in enumerate(sorted(folder.iterdir())):
        picture = cv2.imread(str(path))
        assert picture is not None
        if number >= good:
            assert cv2.imwrite(str(path), marked(picture.astype(np.uint8)))
        path.rename(path.with_name(f"{'good' if number < good else 'marked'}-{path.name}"))
    return folder
