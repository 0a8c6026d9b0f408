"""Two recipes with exposures of their own, in turn from part to part."""

from __future__ import annotations

import time
from typing import Final

from support.changeovers import add_recipe, ask, prepare
from support.daemon import Daemon

from camera_contract.camera import NAME, ContractCamera
from camera_contract.gige import SensorContractCamera
from inspectd.client import RecipeAck, RecipeAction
from inspectd.wire import Verdict

EXPOSURE_US: Final = {"dark": 4000.0, "bright": 8000.0}
_LATER_SECONDS: Final = 0.03
_NAMES: Final = tuple(EXPOSURE_US)


def prepare_both(daemon: Daemon) -> None:
    """Put both recipes into the line's store, and have them loaded."""
    for number, (name, exposure_us) in enumerate(EXPOSURE_US.items(), 1):
        add_recipe(daemon.folder / "state", name, number, {NAME: 1.0}, exposures_us={NAME: exposure_us})
        prepare(daemon, name)


def take_turns(daemon: Daemon, number: int) -> None:
    """The part is to be judged by the other recipe than the one before; it comes at once or a bit later."""
    answer = ask(daemon, RecipeAction.ACTIVATE, _NAMES[number % 2])
    assert isinstance(answer, RecipeAck), answer
    time.sleep(number % 3 * _LATER_SECONDS)


def exposure_of_chunk(_: ContractCamera, number: int, verdict: Verdict) -> str:
    """What is wrong with the exposure that the camera says; empty: nothing."""
    return _problem(number, verdict, None if verdict.device is None else verdict.device.exposure_us)


def exposure_of_sensor(camera: ContractCamera, number: int, verdict: Verdict) -> str:
    """What is wrong with the exposure that the picture was taken with; empty: nothing."""
    assert isinstance(camera, SensorContractCamera)
    found = [each.exposure_us.get(verdict.frame_sha256 or "") for each in camera.cameras]
    return _problem(number, verdict, next((each for each in found if each is not None), None))


def _problem(number: int, verdict: Verdict, exposure_us: float | None) -> str:
    name = _NAMES[number % 2]
    if (verdict.recipe, exposure_us) == (name, EXPOSURE_US[name]):
        return ""
    return f"judged by {verdict.recipe} with {exposure_us} us, expected {name} with {EXPOSURE_US[name]} us"
