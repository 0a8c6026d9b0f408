"""Small models as others export them, made here, and the scores that they give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspectd import cli

SIDE = 32


def spot_model(
    *,
    side: int | str = SIDE,
    channels: int = 3,
    extra: Sequence[Any] = (),
    outputs: Sequence[str] | None = None,
) -> Any:
    """How much each place differs from those around it: `anomaly_map` and its highest value, `pred_score`."""
    blur = np.full((1, channels, 5, 5), 1 / (25 * channels), np.float32)
    one = np.zeros_like(blur)
    one[:, :, 2, 2] = 1 / channels
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["difference"], pads=[2, 2, 2, 2], name="look"),
        helper.make_node("Abs", ["difference"], ["anomaly_map"]),
        helper.make_node("ReduceMax", ["anomaly_map"], ["pred_score"], axes=[1, 2, 3], keepdims=0),
    ]
    shapes = {"anomaly_map": ["n", 1, side, side], "pred_score": ["n"]}
    graph = helper.make_graph(
        [*nodes, *extra],
        "spots",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, side, side])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes.get(name, [None]))
            for name in outputs or shapes
        ],
        [numpy_helper.from_array(one - blur, "kernel")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def with_weights_outside(path: Path, location: str = "weights.data") -> Path:
    """The model of a file with its weights in another one."""
    model = onnx.load_model_from_string(path.read_bytes())
    kernel = model.graph.initializer[0]
    (path.parent / Path(location).name).write_bytes(kernel.raw_data)
    kernel.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(kernel.raw_data)))):
        kernel.external_data.add(key=key, value=value)
    kernel.ClearField("raw_data")
    return written(model, path)


def expected_map(frame: np.ndarray) -> np.ndarray:
    """What `spot_model` gives for a picture (SIDE, SIDE, 3) uint8."""
    grey = frame.astype(np.float32).mean(axis=2) / 255
    around = cv2.blur(grey, (5, 5), borderType=cv2.BORDER_CONSTANT)
    return np.abs(grey - around)


def good_parts(folder: Path, count: int = 20, side: int = SIDE) -> Path:
    """Smooth pictures with the noise of a sensor."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        generator = np.random.default_rng(seed)
        picture = np.linspace(90, 130, side)[:, None, None] + generator.normal(0, 4, (side, side, 3))
        assert cv2.imwrite(str(folder / f"{seed:02d}.png"), picture.clip(0, 255).astype(np.uint8))
    return folder


def broken_part(side: int = SIDE) -> np.ndarray:
    """As `good_parts`, with a bright spot; `(side, side, 3) uint8 BGR`."""
    picture = np.full((side, side, 3), 110, np.uint8)
    picture[8:11, 8:11] = 250
    return picture


def imported_bank(folder: Path, model: Any, *words: str) -> Path:
    """A new bank in a folder, imported of a model with 20 good parts, which are in `good` beside it."""
    images = folder / "good"
    if not images.exists():
        good_parts(images)
    path, bank = written(model, folder / "x.onnx"), folder / f"{len(list(folder.glob('*.bank')))}.bank"
    given = ["bank", "import", path, "--images", images, "--out", bank, "--preprocessing", "anomalib", *words]
    assert cli.main([str(word) for word in given]) == 0
    return bank
