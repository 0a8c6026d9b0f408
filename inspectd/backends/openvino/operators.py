"""Operators with which a model from elsewhere is not run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from inspectd.errors import InputError
from inspectd.text import printable

_REFUSED: Final = {
    "If": "branches", "Loop": "loops", "TensorIterator": "loops",
    "Assign": "remembers the picture before", "ReadValue": "remembers the picture before",
    "RandomUniform": "draws random numbers", "Multinomial": "draws random numbers",
    "RandomPoisson": "draws random numbers",
}  # fmt: skip
"""Operators with which the same picture would not always have the same score in the same time."""


def refuse_unfit(path: Path, model: Any) -> None:
    """Refuse a network that does not give the same picture the same score in the same time, or holds NaN.

    Raises:
        InputError: it is one; with the operators.
    """
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in _REFUSED:
            raise InputError(
                f"model {path}: has the operator {kind}, which {_REFUSED[kind]}: expected a network that "
                "gives one picture always the same score in the same time"
            )
        if kind == "Constant" and node.get_output_element_type(0).is_real():
            values = node.get_data()
            if values.size and np.isnan(values).any():
                raise InputError(
                    f"model {path}: its weights {printable(node.get_friendly_name())[:100]!r} hold NaN; "
                    "export it again"
                )


def refuse_growing(path: Path, model: Any) -> None:
    """Refuse a network with fixed input in which the size of something depends on what a picture shows.

    One picture could take all memory, or all time, however harmless those were with which it was tried.

    Raises:
        InputError: it is one; with the operators that begin it.
    """
    growing = [node for node in model.get_ordered_ops() if _is_growing(node.outputs())]
    first = sorted({node.get_type_name() for node in growing if not _is_growing(node.input_values())})
    if first:
        raise InputError(
            f"model {path}: has the operators {listed(first)}, which make more or less of a picture by "
            "what it shows: expected a network in which every size is fixed once that of the picture is, so "
            "that time and memory are known; export it without them"
        )


def _is_growing(values: Iterable[Any]) -> bool:
    return any(value.get_partial_shape().is_dynamic for value in values)


def listed(operators: list[str]) -> str:
    """Names of operators out of a file, for people; ten at most."""
    return printable(", ".join(name[:100] for name in operators[:10]))
