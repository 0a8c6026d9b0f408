"""Which pictures show one part: they vouch for each other, so for a threshold or a limit they are one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError


def named_parts(pattern: str, root: Path, paths: Sequence[Path]) -> dict[str, str]:
    """The part that each picture shows, by what its path says.

    Args:
        pattern: a regular expression that is found in each path below `root`; its first group, or all of it
            where it has none, names the part.
        root: the folder of the pictures.
        paths: of the pictures.

    Raises:
        InputError: it is no regular expression, or is not found in a path.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--parts: got {pattern!r}, expected a regular expression: {error}") from error
    parts = {}
    for path in paths:
        place = path.relative_to(root).as_posix()
        found = compiled.search(place)
        part = None if found is None else found[min(1, compiled.groups)]
        if not part:
            raise InputError(
                f"--parts: {pattern!r} finds no part in {place!r}, expected one in the path of each picture, "
                "such as '^(.*)_[0-9]+[.]' for PART_1.png, or '^(.*)/' for a folder for each part"
            )
        parts[str(path)] = part
    return parts


def one_of_each(parts: Mapping[str, str] | None, paths: Sequence[Path]) -> list[Path]:
    """The first picture of each part: what is tried on one part's others would know the part already.

    Args:
        parts: the part that each picture shows, by its path; None: each shows another.
        paths: of the pictures.
    """
    if parts is None:
        return list(paths)
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(parts[str(path)], path)
    return list(first.values())


def numbered(parts: Sequence[str]) -> NDArray[np.int64] | None:
    """Parts (N,) by numbers, in the order of their first pictures; None: each picture shows another."""
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    if len(numbers) == len(parts):
        return None
    return np.array([numbers[part] for part in parts], dtype=np.int64)


def one_of_each_part(parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows (m,) of the first picture of each part, by the numbers (n,) of the parts that pictures show."""
    return np.unique(parts, return_index=True)[1].astype(np.int64)


def highest_by_part(values: NDArray[np.float64], parts: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """The highest value of each part, (m,): it is beyond a limit if one of its pictures is.

    Args:
        values: (n,) of pictures.
        parts: (n,) numbers of the parts that they show; None: each shows another.
    """
    if parts is None:
        return values
    _, rows = np.unique(parts, return_inverse=True)
    highest = np.full(rows.max(initial=-1) + 1, -np.inf)
    np.maximum.at(highest, rows, values)
    return highest


def lowest_by_part(values: NDArray[np.float64], parts: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """The lowest value of each part, (m,): a defective one passes if one of its pictures does.

    Args:
        values: (n,) of pictures.
        parts: (n,) numbers of the parts that they show; None: each shows another.
    """
    return -highest_by_part(-values, parts)
