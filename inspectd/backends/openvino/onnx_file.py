"""An ONNX file from elsewhere as bytes that refer to nothing outside themselves."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular
from inspectd.text import installing, printable

_STANDARD: Final = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""
_LOOPS: Final = {"If", "Loop", "Scan", "SequenceMap"}
_LARGEST: Final = 2**31 - 1
"""Bytes of one message; the format's own limit."""
_MOST_NAMED: Final = 5


def self_contained(path: Path, weights: Path | None) -> tuple[bytes, list[str]]:
    """The bytes of an ONNX model with its weights inside, and the operators in it that ONNX does not know.

    Nothing in it is run. What it says of other files is believed of one alone, which the user has named.

    Args:
        path: the model.
        weights: the one file that it may have its weights in; None: none.

    Raises:
        InputError: it is no ONNX model, refers to another file, or holds networks within its operators.
        UnavailableError: the package onnx is missing.
        OSError: a file cannot be read.
    """
    onnx = _library()
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size) if size <= _LARGEST else b""
    if size > _LARGEST:
        raise InputError(
            f"model {path}: is larger than 2 GB, which ONNX does not allow; export it as OpenVINO IR"
        )
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own kinds differ between its implementations
        raise InputError(f"model {path}: is no ONNX model, or was cut short: {_line(error)}") from error
    if not model.graph.node or not model.opset_import:
        raise InputError(f"model {path}: is no ONNX model, or was cut short: it has no operators")
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    _refuse_networks_within(path, nodes)
    _fill(path, [*_tensors_of(model.graph), *_tensors_of_nodes(nodes)], weights)
    del model.training_info[:]
    try:
        return model.SerializeToString(), list(_unknown(onnx, model, nodes))
    except ValueError as error:
        raise InputError(
            f"model {path}: is larger than 2 GB with its weights, which ONNX does not allow; export it as "
            "OpenVINO IR"
        ) from error


def metadata_of(data: bytes) -> dict[str, str]:
    """The texts that a model carries beside its network."""
    return {
        _text(entry.key): _text(entry.value)
        for entry in _library().load_model_from_string(data).metadata_props
    }


def _library() -> Any:
    if importlib.util.find_spec("onnx") is None:
        raise UnavailableError(
            f"the package onnx is not installed, which reads such models ({installing('onnx')})"
        )
    import onnx  # noqa: PLC0415 - may be missing

    return onnx


def _refuse_networks_within(path: Path, nodes: Iterable[Any]) -> None:
    """Refuse loops and branches: what a picture costs must not depend on what it shows."""
    found = {
        _text(node.op_type)
        for node in nodes
        if node.op_type in _LOOPS or any(one.g.node or one.graphs for one in node.attribute)
    }
    if found:
        raise InputError(
            f"model {path}: has the operators {_listed(found)}, whose time depends on the picture: "
            "expected none; export it so that loops are unrolled"
        )


def _tensors_of(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _tensors_of_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _fill(path: Path, tensors: Iterable[Any], weights: Path | None) -> None:
    """Put weights that lie in the stated file into their tensors."""
    outside = [tensor for tensor in tensors if tensor.external_data or tensor.data_location]
    if not outside:
        return
    told = [{_text(entry.key): _text(entry.value) for entry in tensor.external_data} for tensor in outside]
    names = {where.get("location", "") for where in told}
    if weights is None:
        raise InputError(
            f"model {path}: has its weights in {_listed(names)}: expected all in one file, named with "
            "--weights"
        )
    if names != {weights.name}:
        raise InputError(
            f"model {path}: has its weights in {_listed(names)}: expected all in the file of --weights, "
            f"{weights.name}"
        )
    with open_regular(weights) as file:
        size = os.fstat(file.fileno()).st_size
        for tensor, where in zip(outside, told, strict=True):
            tensor.raw_data = _part(weights, file, size, where, _text(tensor.name))
            del tensor.external_data[:]
            tensor.ClearField("data_location")


def _part(weights: Path, file: BinaryIO, size: int, where: dict[str, str], name: str) -> bytes:
    """The bytes of one tensor in the file of weights."""
    try:
        offset = int(where.get("offset", "0"))
        length = int(where.get("length", str(size - offset)))
    except ValueError as error:
        raise InputError(
            f"weights {weights}: the place of {printable(repr(name[:100]))} is no number"
        ) from error
    if not 0 <= offset <= offset + length <= size:
        raise InputError(
            f"weights {weights}: is {size} bytes long, the model has {printable(repr(name[:100]))} at "
            f"{offset} to {offset + length}: the file was cut short, or is another model's"
        )
    file.seek(offset)
    return file.read(length)


def _unknown(onnx: Any, model: Any, nodes: Iterable[Any]) -> Iterator[str]:
    """Operators that are neither ONNX's nor defined within the model."""
    own = {(_text(function.domain), _text(function.name)) for function in model.functions}
    for kind in sorted({(_text(node.domain), _text(node.op_type)) for node in nodes} - own):
        domain, name = kind
        if domain not in _STANDARD:
            yield f"{domain}::{name}"
        elif not onnx.defs.has(name):
            yield name


def _text(value: str | bytes) -> str:
    """A text of a message; one that is not UTF-8 comes as bytes."""
    return value if isinstance(value, str) else value.decode(errors="backslashreplace")


def _listed(names: Iterable[str]) -> str:
    """Names out of a file, for people."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _MOST_NAMED} more" if len(ordered) > _MOST_NAMED else ""
    return printable(", ".join(repr(name[:100]) for name in ordered[:_MOST_NAMED]) + more)


def _line(error: Exception) -> str:
    return printable(str(error).strip().partition("\n")[0][:200])
