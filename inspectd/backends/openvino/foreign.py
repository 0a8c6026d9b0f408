"""Models from elsewhere, ONNX or OpenVINO IR: read, checked, and given the one shape they will have.

`backends.openvino.admit` calls this in a process of its own with limits on memory and time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from inspectd.backends.openvino.onnx_file import metadata_of, self_contained
from inspectd.backends.openvino.operators import listed, refuse_growing, refuse_unfit
from inspectd.backends.openvino.outputs import name_of, outputs_of
from inspectd.backends.openvino.runtime import Representation, core, read_model
from inspectd.bank.file import MOST_INPUT_SIDE
from inspectd.errors import InputError
from inspectd.files import is_file, is_folder, open_regular
from inspectd.text import printable

_SUFFIXES: Final[dict[str, Literal["onnx", "openvino"]]] = {".onnx": "onnx", ".xml": "openvino"}
_RUNS_CODE: Final = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".keras", ".h5")
_NOT_SAID: Final = (
    "Exception from", "Check '", "While validating", "[ ERROR", "Summary", "FrontEnd API failed",
    "Converting input", "Model wasn't fully", "Shape inference input",
)  # fmt: skip
"""Lines of OpenVINO's errors that tell where in its own sources they come from."""
_OF_OPERATOR: Final = " with a message:"
_ROUNDED: Final = "FakeQuantize"
_RESIZED_WITHIN: Final = 12
"""Operators from the input on among which a resize is looked for."""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A model to read, and what its user knows of it.

    Attributes:
        model: the file.
        weights: the one other file it may have its weights in; None: for IR that of the same name, else none.
        size: height and width of its input, in pixels; None: as its file says.
        score_output: None: found by its name or shape.
        map_output: the same.
        memory_bytes: most that reading and trying it may take.
    """

    model: str
    weights: str | None = None
    size: tuple[int, int] | None = None
    score_output: str | None = None
    map_output: str | None = None
    memory_bytes: int


class AdmittedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was read and tried.

    Attributes:
        kind: of its file.
        sha256: of its file and its weights' file.
        height: of its input, in pixels.
        width: the same.
        channels: whether they come first or last.
        colours: number of them.
        score_output: None: it gives no score.
        map_output: None: it gives no map.
        metadata: of its preprocessing, as OpenVINO's Model API names it.
        is_anomalibs: whether it is as anomalib exports a model together with its preprocessing.
        resizes: whether it resizes pictures itself.
        is_rounded: whether its maker rounded it to 8 bits.
        picture_ms: time of one picture.
        peak_mb: memory of the process that tried it.
    """

    kind: Literal["onnx", "openvino"]
    sha256: str
    height: int
    width: int
    channels: Literal["first", "last"]
    colours: int
    score_output: str | None
    map_output: str | None
    metadata: dict[str, str]
    is_anomalibs: bool
    resizes: bool
    is_rounded: bool
    picture_ms: float = 0.0
    peak_mb: float = 0.0


class Foreign(msgspec.Struct, frozen=True):
    """A model that was read: its facts, its network with fixed shapes, and its bytes as ONNX if it is one."""

    facts: AdmittedModel
    model: Any
    onnx: bytes | None


def read_foreign(request: ModelRequest) -> Foreign:
    """Read a model and give it fixed shapes.

    Raises:
        InputError: it cannot be used; with the reason and what to do.
        UnavailableError: a package that reads it is missing.
        OSError: a file cannot be read.
    """
    path = Path(request.model)
    if is_folder(path):
        raise InputError(f"model {path}: is a folder, expected a file .onnx or .xml of OpenVINO IR")
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        code = " that may hold code, which is never loaded" if path.suffix.lower() in _RUNS_CODE else ""
        raise InputError(
            f"model {path}: is a file {path.suffix or 'without a suffix'}{code}: expected .onnx or .xml of "
            "OpenVINO IR; docs/import.md says how to export it"
        )
    weights = None if request.weights is None else Path(request.weights)
    if weights is not None and not is_file(weights):
        raise InputError(f"--weights: {weights} is no file; leave it out if the model has its own")
    onnx, metadata = None, {}
    if kind == "onnx":
        onnx, unknown = self_contained(path, weights)
        metadata = _model_info(metadata_of(onnx))
        model, sha256 = _read(path, (onnx, b""), unknown), hashlib.sha256(onnx).hexdigest()
    else:
        xml, data = _ir_files(path, weights)
        model, sha256 = _read(path, (xml, data), []), hashlib.sha256(xml + data).hexdigest()
        metadata = _model_info_of_ir(model)
    refuse_unfit(path, model)
    channels, colours = _layout(path, model)
    names = [name for output in model.outputs for name in output.get_names()]
    resize = _resize_within(model, channels)
    height, width = _size(path, model, channels, request.size, resize)
    _fix(path, model, channels, colours, (height, width))
    score_output, map_output = outputs_of(path, model, request.score_output, request.map_output)
    facts = AdmittedModel(
        kind=kind, sha256=sha256, height=height, width=width, channels=channels, colours=colours,
        score_output=score_output, map_output=map_output, metadata=metadata,
        is_anomalibs="pred_score" in names and bool({"pred_label", "anomaly_map"} & set(names)),
        resizes=resize is not None,
        is_rounded=any(node.get_type_name() == _ROUNDED for node in model.get_ops()),
    )  # fmt: skip
    return Foreign(facts, model, onnx)


def _ir_files(path: Path, weights: Path | None) -> Representation:
    with open_regular(path) as file:
        xml = file.read()
    with open_regular(weights or path.with_suffix(".bin")) as file:
        return xml, file.read()


def _read(path: Path, model: Representation, unknown: list[str]) -> Any:
    """The model as OpenVINO reads it from memory, where it finds no other file."""
    text, weights = model
    try:
        if text[:1] == b"<" or weights:
            return read_model(model)
        return core().read_model(text)
    except (RuntimeError, ValueError, TypeError) as error:
        if unknown:
            raise InputError(
                f"model {path}: has operators that are not known: {listed(unknown)}; export it with "
                "standard ones"
            ) from error
        raise InputError(f"model {path}: OpenVINO cannot read it: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """What an OpenVINO error says: the operator, if it names one, and the first line that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOT_SAID)]
    if said and said[0].endswith(_OF_OPERATOR):
        said[:2] = [f"{said[0].removeprefix('-- ').removesuffix(_OF_OPERATOR)}: {' '.join(said[1:2])}"]
    return printable((said or lines or [type(error).__name__])[0][:300])


def _model_info(texts: dict[str, str]) -> dict[str, str]:
    """Entries of OpenVINO's Model API among the texts of an ONNX model."""
    prefix = "model_info "
    return {name.removeprefix(prefix): value for name, value in texts.items() if name.startswith(prefix)}


def _model_info_of_ir(model: Any) -> dict[str, str]:
    found = {}
    for name in ("mean_values", "scale_values", "resize_type"):
        if model.has_rt_info(["model_info", name]):
            found[name] = str(model.get_rt_info(["model_info", name]).value)
    return found


def _layout(path: Path, model: Any) -> tuple[Literal["first", "last"], int]:
    """Where the channels of the one input lie, and their number."""
    inputs = model.inputs
    shapes = ", ".join(f"{name_of(one)} {one.get_partial_shape()}" for one in inputs)
    if len(inputs) != 1 or inputs[0].get_partial_shape().rank.is_dynamic:
        raise InputError(f"model {path}: takes {printable(shapes) or 'nothing'}: expected one picture")
    shape = list(inputs[0].get_partial_shape())
    if len(shape) == 4 and shape[0].is_static and shape[0].get_length() != 1:
        # What it would say of one picture is another network's answer than it was made for.
        raise InputError(
            f"model {path}: takes {shape[0].get_length()} pictures at once: expected one, or any number; "
            "export it so, as parts are judged one by one"
        )
    if len(shape) == 4:
        for channels, axis in (("first", 1), ("last", 3)):
            if shape[axis].is_static and shape[axis].get_length() in {1, 3}:
                return channels, shape[axis].get_length()  # type: ignore[return-value]
    raise InputError(
        f"model {path}: takes {printable(shapes)}: expected a picture with 1 or 3 channels, first or last, "
        "[1,3,H,W]"
    )


def _axes(channels: str) -> tuple[int, int]:
    return (2, 3) if channels == "first" else (1, 2)


def _resize_within(model: Any, channels: str) -> tuple[int, int] | None:
    """Height and width that the model brings every picture to by itself; None: it does not."""
    frontier = [target.get_node() for target in model.inputs[0].get_target_inputs()]
    for _ in range(_RESIZED_WITHIN):
        if not frontier:
            return None
        node, *frontier = frontier
        shape = list(node.get_output_partial_shape(0)) if node.get_output_size() else []
        if node.get_type_name() == "Interpolate" and len(shape) == 4:
            sides = [shape[axis] for axis in _axes(channels)]
            if all(side.is_static for side in sides):
                return sides[0].get_length(), sides[1].get_length()
        frontier += [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
    return None


def _size(
    path: Path, model: Any, channels: str, given: tuple[int, int] | None, resize: tuple[int, int] | None
) -> tuple[int, int]:
    shape = list(model.inputs[0].get_partial_shape())
    sides = [shape[axis] for axis in _axes(channels)]
    fixed = [side.get_length() for side in sides if side.is_static]
    own = (fixed[0], fixed[1]) if len(fixed) == 2 else None
    size = given or own or resize
    if size is None:
        raise InputError(
            f"model {path}: takes pictures of any size: expected --size, the size it was trained with, "
            "such as 256"
        )
    if own is not None and size != own:
        raise InputError(f"model {path}: takes {own[0]}x{own[1]}, got --size {size[0]}x{size[1]}")
    if not all(1 <= side <= MOST_INPUT_SIDE for side in size):
        raise InputError(
            f"model {path}: takes {size[0]}x{size[1]}, expected at most {MOST_INPUT_SIDE} pixels a side"
        )
    return size


def _fix(path: Path, model: Any, channels: str, colours: int, size: tuple[int, int]) -> None:
    """Give the model one picture of one size to take, and all its tensors their shapes."""
    shape = [1, colours, *size] if channels == "first" else [1, *size, colours]
    try:
        model.reshape(shape)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"model {path}: does not take pictures of {size[0]}x{size[1]}: {reason_of(error)}"
        ) from error
    refuse_unfit(path, model)
    refuse_growing(path, model)
