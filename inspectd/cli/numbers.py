"""Reads numbers from options with the standard library alone: `inspectd bench` runs where rich is missing."""

from __future__ import annotations

import argparse

from inspectd.errors import InputError


def numbers(option: str, text: str) -> list[int]:
    """Whole numbers above zero, between commas.

    Raises:
        InputError: there is anything else.
    """
    found = _whole(text.split(","))
    if found is None:
        raise InputError(f"{option}: got {text!r}, expected whole numbers above 0 between ','")
    return found


def positive(text: str) -> float:
    """A number above 0, of an option.

    Raises:
        argparse.ArgumentTypeError: it is none, or a million or more.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0, below 1000000")
    return value


def share(text: str) -> float:
    """A share, of an option: 0.02 or 2%. How large it may be, who uses it says.

    Raises:
        argparse.ArgumentTypeError: it is no number.
    """
    try:
        return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a share such as 0.02, or 2%") from None


def patience(seconds: float) -> float:
    """The longest wait for something, as `--timeout` gives it.

    Raises:
        InputError: it is no time, or longer than an hour.
    """
    if not 0 < seconds <= 3600:
        raise InputError(f"--timeout: got {seconds:g}, expected seconds above 0, at most 3600")
    return seconds


def size(option: str, text: str, least: int = 16, most: int = 16_384) -> tuple[int, int]:
    """Height and width of `256` or `192x320`, each from `least` to `most` pixels.

    Raises:
        InputError: it is neither.
    """
    sides = _whole(text.lower().split("x"))
    if sides is None or len(sides) > 2 or not all(least <= side <= most for side in sides):
        raise InputError(
            f"{option}: got {text!r}, expected 256 or HEIGHTxWIDTH, each {least} to {most} pixels"
        )
    return sides[0], sides[-1]


def _whole(parts: list[str]) -> list[int] | None:
    """Numbers of texts; None where one is not a whole number above zero."""
    stripped = [part.strip() for part in parts]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 and int(part) for part in stripped):
        return None
    return [int(part) for part in stripped]
