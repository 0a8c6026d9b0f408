"""Problems between the settings of golden parts. Works on raw data, as `consistency` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from inspectd.config.problems import short
from inspectd.config.sources import masked

_SCHEDULES: Final = ("interval_hours", "interval_parts", "shift_starts")
_NUMBERS: Final = (int, float)


def golden_problems(golden: object, modes: dict[str, object]) -> Iterator[str]:
    """Parts that cannot be shown as declared, and schedules without parts or parts without a schedule.

    Args:
        golden: the table as it stands in the file.
        modes: of the cameras that the file names, or of their regions as `CAMERA/REGION`; None where it gives
            none.
    """
    if not isinstance(golden, dict):
        return
    parts = golden.get("parts")
    tables = [part if isinstance(part, dict) else {} for part in parts] if isinstance(parts, list) else []
    yield from _schedule_problems(golden, has_parts=bool(tables))
    seen: dict[str, int] = {}
    for index, part in enumerate(tables):
        where, name = f"golden.parts[{index}]", part.get("name")
        if isinstance(name, str):
            first = seen.setdefault(name, index)
            if first != index:
                yield f"{where}.name: {short(name)} is taken by golden.parts[{first}], names must differ"
        yield from _camera_problems(part.get("cameras"), modes, where)
        low, high = part.get("score_min"), part.get("score_max")
        if isinstance(low, _NUMBERS) and isinstance(high, _NUMBERS) and low > high:
            yield f"{where}.score_min: got {low:g}, expected at most score_max, {high:g}"


def _schedule_problems(golden: dict[str, Any], *, has_parts: bool) -> Iterator[str]:
    given = [key for key in _SCHEDULES if golden.get(key)]
    if not has_parts:
        for key in given:
            yield f"golden.{key}: is set, but there is no part to show, expected [[golden.parts]]"
    elif not given and golden.get("at_start") is False and golden.get("at_changeover") is False:
        yield (
            "golden: has parts, but no check is ever due, expected one of at_start, at_changeover, "
            f"{', '.join(_SCHEDULES)}"
        )
    starts = golden.get("shift_starts")
    times = starts if isinstance(starts, list) else []
    for index, start in enumerate(times):
        if start in times[:index]:
            yield f"golden.shift_starts[{index}]: got {short(start)} again, expected each time once"


def _camera_problems(names: object, modes: dict[str, object], where: str) -> Iterator[str]:
    given = names if isinstance(names, list) else []
    for index, name in enumerate(given):
        if isinstance(name, str) and name not in modes:
            known = ", ".join(map(masked, modes)) or "none is declared"
            yield f"{where}.cameras[{index}]: no camera {short(name)}, expected one of: {known}"
        elif name in given[:index]:
            yield f"{where}.cameras[{index}]: got {short(name)} again, expected each camera once"
    triggered = [name for name in given if isinstance(name, str) and modes.get(name) == "triggered"]
    others = [name for name in given if isinstance(name, str) and name in modes and name not in triggered]
    if triggered and others:
        yield (
            f"{where}.cameras: {short(triggered[0])} is triggered and {short(others[0])} is not, expected "
            "cameras of one mode: a part is announced either by its trigger or by a request"
        )
