"""What `inspectd check` finds of golden parts: checks that cannot pass, and what no check proves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inspectd.config import Config
from inspectd.records import BankInForce


def impossible_checks(settings: Config, banks: Mapping[str, BankInForce]) -> Iterator[str]:
    """Golden parts with which no check can pass.

    Their cameras judge by another recipe, or no score with the expected verdict lies in their band.

    Args:
        settings: the line's, whose own recipes are in force.
        banks: those that load, by recipe.
    """
    judged_by = {place: recipe for camera in settings.cameras for place, recipe in camera.places.items()}
    for index, part in enumerate(settings.golden.parts):
        where = f"golden.parts[{index}]"
        for place in part.cameras or () if part.recipe in judged_by.values() else ():
            if judged_by.get(place, part.recipe) != part.recipe:
                yield (
                    f"{where}.cameras: {place} is judged by recipe {judged_by[place]}, expected cameras that "
                    f"are judged by {part.recipe}, the part's own"
                )
        bank = banks.get(part.recipe)
        if bank is None:
            continue
        threshold = f"the threshold of recipe {part.recipe}, {bank.threshold:g}"
        if part.expect == "fail" and part.score_max is not None and part.score_max <= bank.threshold:
            yield f"{where}.score_max: is {part.score_max:g}, expected above {threshold}: it has to fail"
        if part.expect == "pass" and part.score_min is not None and part.score_min > bank.threshold:
            yield f"{where}.score_min: is {part.score_min:g}, expected at most {threshold}: it has to pass"


def unproven(settings: Config) -> Iterator[str]:
    """What of the file's recipes the golden parts prove nothing of; nothing where there are none at all."""
    parts = settings.golden.parts
    modes = {place: camera.mode for camera in settings.cameras for place in camera.places}
    judged_by = {place: recipe for camera in settings.cameras for place, recipe in camera.places.items()}
    for recipe in dict.fromkeys(judged_by.values()) if parts else ():
        own = [part for part in parts if part.recipe == recipe]
        if not own:
            yield f"golden.parts: recipe {recipe} has none: its parts are judged without checks"
            continue
        for expect, passes in (("fail", "everything"), ("pass", "nothing")):
            if all(part.expect != expect for part in own):
                yield (
                    f'golden.parts: recipe {recipe} has no part with expect = "{expect}", so a line that '
                    f"passes {passes} would pass its checks"
                )
        judged = [place for place, by in judged_by.items() if by == recipe]
        unnamed = [place for place in judged if modes[place] == "triggered"] or judged
        shown = {place for part in own for place in part.cameras or unnamed}
        for place in judged:
            if place not in shown:
                yield f"golden.parts: no part of recipe {recipe} is shown to {place}, which judges by it"
