"""Models from elsewhere: what is admitted, and what is refused with which words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from break_models import broken_models
from onnx import TensorProto, helper
from support.foreign_models import SIDE, spot_model, with_weights_outside, written
from support.turning_models import turning

from inspectd.backends.openvino.admit import admitted
from inspectd.backends.openvino.foreign import ModelRequest, read_foreign
from inspectd.backends.openvino.outputs import is_map
from inspectd.errors import InputError

MEMORY = 500_000_000


def read(path: Path, **known: Any) -> Any:
    return read_foreign(ModelRequest(model=str(path), memory_bytes=MEMORY, **known)).facts


def test_size_and_outputs_are_found(tmp_path: Path) -> None:
    facts = read(written(spot_model(), tmp_path / "x.onnx"))
    assert (facts.height, facts.width, facts.channels, facts.colours) == (SIDE, SIDE, "first", 3)
    assert (facts.score_output, facts.map_output) == ("pred_score", "anomaly_map")
    openvino.save_model(openvino.convert_model(tmp_path / "x.onnx"), tmp_path / "x.xml")
    assert read(tmp_path / "x.xml").map_output == "anomaly_map"


def test_a_size_that_nobody_says_is_asked_for(tmp_path: Path) -> None:
    path = written(spot_model(side="side"), tmp_path / "x.onnx")
    with pytest.raises(InputError, match="any size: expected --size"):
        read(path)
    assert read(path, size=(24, 40)).width == 40
    with pytest.raises(InputError, match="takes 32x32, got --size 24x40"):
        read(written(spot_model(), path), size=(24, 40))


def test_a_resize_within_the_model_says_the_size(tmp_path: Path) -> None:
    path = written(resizing(), tmp_path / "x.onnx")
    facts = read(path)
    assert (facts.height, facts.width) == (24, 20)
    assert facts.resizes
    assert facts.is_anomalibs


def resizing() -> Any:
    """As anomalib exports a model with its preprocessing."""
    sizes = onnx.numpy_helper.from_array(np.array([24, 20], np.int64), "sizes")
    nodes = [
        helper.make_node("Resize", ["input", "", "", "sizes"], ["small"], axes=[2, 3], mode="linear"),
        helper.make_node("ReduceMean", ["small"], ["anomaly_map"], axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["anomaly_map"], ["pred_score"], axes=[1, 2, 3], keepdims=0),
    ]
    pictures = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])
    told = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("anomaly_map", "pred_score")
    ]
    graph = helper.make_graph(nodes, "resizing", [pictures], told, [sizes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_weights_lie_in_the_file_that_is_stated_and_in_no_other(tmp_path: Path) -> None:
    path = with_weights_outside(written(spot_model(), tmp_path / "x.onnx"))
    with pytest.raises(InputError, match=r"has its weights in 'weights.data': expected all in one file"):
        read(path)
    whole = read(path, weights=str(tmp_path / "weights.data"))
    assert whole.sha256 == read(written(spot_model(), tmp_path / "y.onnx")).sha256
    (tmp_path / "weights.data").write_bytes(bytes(40))
    with pytest.raises(InputError, match="'kernel' at 0 to 300: the file was cut short"):
        read(path, weights=str(tmp_path / "weights.data"))
    for location in ("/etc/passwd", "../weights.data", "other.data"):
        with_weights_outside(written(spot_model(), path), location)
        with pytest.raises(InputError, match=r"expected all in the file of --weights, weights.data"):
            read(path, weights=str(tmp_path / "weights.data"))


def with_node(name: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    used = [*outputs, "anomaly_map"]
    return spot_model(extra=[helper.make_node(name, inputs, outputs, **attributes)], outputs=used)


def loop() -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])], "body",
        [
            helper.make_tensor_value_info(name, kind, [])
            for name, kind in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )  # fmt: skip
    return with_node("Loop", ["", ""], [], body=body)


def twice() -> Any:
    both = helper.make_node("Concat", ["input", "input"], ["both"], axis=1)
    return spot_model(extra=[both], outputs=["both"])


def of_nan() -> Any:
    model = spot_model()
    model.graph.initializer[0].raw_data = np.full((1, 3, 5, 5), np.nan, np.float32).tobytes()
    return model


def of_eight() -> Any:
    model = spot_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    return model


def growing() -> Any:
    """As many numbers as the picture has bright places, each with each: harmless for most pictures."""
    nodes = [
        helper.make_node("Floor", ["input"], ["bright"]),
        helper.make_node("NonZero", ["bright"], ["places"]),
        helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["turned"]),
        helper.make_node("MatMul", ["turned", "numbers"], ["each_with_each"]),
        helper.make_node("ReduceSum", ["each_with_each"], ["w"], keepdims=0),
    ]
    return spot_model(extra=nodes, outputs=["w", "anomaly_map"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (of_eight, "takes 8 pictures at once: expected one, or any number"),
        (growing, "has the operators NonZero, which make more or less of a picture by what it shows"),
        (lambda: with_node("Wobble", ["input"], ["w"], domain="com.acme"), "not known: com.acme::Wobble"),
        (lambda: with_node("Wobble", ["input"], ["w"]), "not known: Wobble"),
        (loop, "operators 'Loop', whose time depends on the picture"),
        (of_nan, "its weights 'kernel' hold NaN"),
        (twice, r"has the outputs both \[1, 6, 32, 32\]: expected a score, one number, or a map"),
        (lambda: b"", "is no ONNX model, or was cut short"),
        (lambda: b"\x80\x04pickle", "is no ONNX model, or was cut short"),
    ],
)
def test_what_cannot_be_used_is_named(make: Callable[[], Any], reason: str, tmp_path: Path) -> None:
    model = make()
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(InputError, match=reason):
        read(tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["x.pt", "x.ckpt", "x.pkl"])
def test_what_may_hold_code_is_not_even_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="may hold code, which is never loaded"):
        read(tmp_path / name)


def test_maps_are_told_from_other_outputs() -> None:
    maps = [[1, 1, 8, 9], [1, 8, 9], [8, 9], [1, 8, 9, 1]]
    others = [[1], [1, 1], [1, 1, 0, 0], [0, 8], [1, 3, 8, 9], [1, 8, 1, 9], [1, 512], [1, 1, 1, 8, 9]]
    assert [is_map(shape) for shape in maps + others] == [True] * len(maps) + [False] * len(others)


def test_reading_has_limits(tmp_path: Path) -> None:
    path = written(spot_model(), tmp_path / "x.onnx")
    assert admitted(ModelRequest(model=str(path), memory_bytes=MEMORY), 60).facts.picture_ms > 0
    with pytest.raises(InputError, match=r"was not read and tried within 0.01 s"):
        admitted(ModelRequest(model=str(path), memory_bytes=MEMORY), 0.01)
    shape = onnx.numpy_helper.from_array(np.array([1 << 33], np.int64), "shape")
    huge = with_node("ConstantOfShape", ["shape"], ["huge"])
    huge.graph.initializer.append(shape)
    huge.graph.output.append(helper.make_tensor_value_info("huge", TensorProto.FLOAT, None))
    with pytest.raises(InputError, match=r"huge|memory"):
        admitted(ModelRequest(model=str(written(huge, path)), memory_bytes=MEMORY), 60)


def test_a_model_that_ends_its_process_at_an_even_picture_is_refused(tmp_path: Path) -> None:
    path = written(turning("crash", fewest=SIDE * SIDE * 3), tmp_path / "x.onnx")
    with pytest.raises(InputError, match="what read it was ended by SIGSEGV"):
        admitted(ModelRequest(model=str(path), memory_bytes=MEMORY), 60)


def test_broken_models_are_refused_or_harmless(tmp_path: Path) -> None:
    """The short form of `tools/break_models.py`, in this process."""
    refused = 0
    for path, weights in broken_models(tmp_path, 60, seed=1):
        try:
            read(path, weights=None if weights is None else str(weights))
        except (InputError, OSError):
            refused += 1
    assert refused > 20
