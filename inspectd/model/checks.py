"""Range checks for the settings that travel with a bank, with the standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

from inspectd.errors import InputError

Check = Callable[[object], str | None]
"""Says what was expected of a value that does not fit; None: it fits."""

_CHECK: Final = "check"


class OptionError(InputError, ValueError):
    """A setting has a value that does not fit it. A ValueError too: decoders report that in place."""


def option(default: Any, check: Check) -> Any:
    """A dataclass field with a default and a check."""
    return field(default=default, metadata={_CHECK: check})


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Base of settings whose every field was made by `option`."""

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = getattr(self, declared.name)
            expected = declared.metadata[_CHECK](value)
            if expected is not None:
                raise OptionError(f"{declared.name} is {value!r}, expected {expected}")


_Settings = TypeVar("_Settings", bound=Checked)


def from_values(kind: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Settings from plain values; what is left out has its default.

    Raises:
        OptionError: a value does not fit, or no setting has its name.
    """
    known = [declared.name for declared in fields(kind)]
    for name in values:
        if name not in known:
            raise OptionError(f"there is no {name!r}, expected one of: {', '.join(known)}")
    return kind(**values)


def whole(least: int, most: int) -> Check:
    """A whole number between bounds."""

    def check(value: object) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if fits else f"a whole number from {least} to {most}"

    return check


def number(least: float, most: float, *, above: bool = False) -> Check:
    """A finite number between bounds; `above`: and not the lower bound itself."""

    def check(value: object) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        fits = fits and least <= value <= most and not (above and value == least)  # type: ignore[operator]
        return None if fits else f"a number {'above' if above else 'from'} {least:g} up to {most:g}"

    return check


def one_of(*choices: object) -> Check:
    """One of a few values."""

    def check(value: object) -> str | None:
        fits = any(value == choice and type(value) is type(choice) for choice in choices)
        return None if fits else f"one of: {', '.join(map(str, choices))}"

    return check


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "true or false"


FLAG: Final[Check] = _flag
"""Yes or no."""


def optional(check: Check) -> Check:
    """What another check lets through, or None."""
    return lambda value: None if value is None else check(value)


def share_box(value: object) -> str | None:
    """A check: four shares of an image, left, top, width and height; or None."""
    fits = value is None or (
        isinstance(value, tuple) and len(value) == 4 and all(number(0, 1)(part) is None for part in value)
    )
    return None if fits else "left, top, width and height, each from 0 to 1"
