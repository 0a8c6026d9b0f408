"""For `inspectd check`: reads every bank and loads it as the daemon would. Takes seconds to import."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inspectd import config
from inspectd.backends.cuda.memory import release_memory
from inspectd.bank.reach import Reach, admit_threshold
from inspectd.cli.check_belts import belts_with_parts
from inspectd.cli.check_times import slow_scoring, slow_start
from inspectd.cli.output import say_step, warn
from inspectd.errors import BankError, CheckAboveError, InputError, InspectdError, ThresholdError
from inspectd.records import BankInForce
from inspectd.scoring.messages import ScoringReady, StartScoring
from inspectd.scoring.pool import process_starts
from inspectd.scoring.worker import admit_banks, load, placed


def scoring_problems(
    recipes: list[tuple[str, config.Recipe]],
    scoring: config.ScoringSettings,
    cameras: list[tuple[str, config.Camera]],
    banks: dict[str, BankInForce],
    deadline_ms: float,
) -> Iterator[str]:
    """Read every bank, check that all fit on the devices, and load each as the daemon would.

    Those that load are put into `banks`, by recipe. It warns of what this machine is too slow for.
    """
    sound: list[tuple[str, config.Recipe]] = []
    yield from _threshold_problems(recipes, sound)
    places = {recipe.name: where for where, recipe in sound}
    try:
        starts = process_starts(scoring, [each for _, each in sound], 1, [each for _, each in cameras])
    except InputError as error:
        yield str(error)  # it names the setting
        return
    try:
        for start in {start.scoring.device: placed(start) for start in starts}.values():
            admit_banks(start)
            warmup_seconds = 0.0
            for number, recipe in enumerate(start.recipes, start=1):
                say_step(f"bank {number} of {len(start.recipes)}, {recipe.name}")
                try:
                    one = msgspec.structs.replace(start, recipes=(recipe,))
                    ready = _load(one, recipe, cameras)
                    (banks[recipe.name],), (pace,) = ready.banks, ready.paces
                    warmup_seconds += ready.warmup_seconds
                    if not banks[recipe.name].limits:
                        warn(f"{places[recipe.name]}: {_not_held(recipe)}")
                    for warning in slow_scoring(places[recipe.name], recipe, deadline_ms, pace):
                        warn(warning)
                except BankError as error:
                    yield f"{places[recipe.name]}.bank: {error}"
                release_memory()
            for warning in slow_start(scoring, warmup_seconds):
                warn(warning)
    except InspectdError as error:
        yield f"scoring: {error}"


def _threshold_problems(
    recipes: list[tuple[str, config.Recipe]], sound: list[tuple[str, config.Recipe]]
) -> Iterator[str]:
    """Banks that cannot be read, thresholds that they do not allow; the other recipes go into `sound`."""
    for where, recipe in recipes:
        try:
            reach = admit_threshold(recipe)
            print(f"{where}, {recipe.name}: {reach}")
            for warning in _reach_warnings(where, recipe, reach):
                warn(warning)
            sound.append((where, recipe))
        except CheckAboveError as error:
            yield f"{where}.check_above: {error}"
        except ThresholdError as error:
            yield f"{where}.{'bank' if recipe.threshold is None else 'threshold'}: {error}"
        except BankError as error:
            yield f"{where}.bank: {error}"


def _load(
    start: StartScoring, recipe: config.Recipe, cameras: list[tuple[str, config.Camera]]
) -> ScoringReady:
    """Load a recipe's bank, and let it go again; warn of pictures of the empty belt that it would pass."""
    ready, scorers = load(start)
    (bank,) = ready.banks
    for warning in belts_with_parts(cameras, recipe, bank, scorers[recipe.name]):
        warn(warning)
    return ready


def _reach_warnings(where: str, recipe: config.Recipe, reach: Reach) -> Iterator[str]:
    """What of a threshold, or of what it was found by, a person should look at."""
    if reach.warning and not recipe.accept_threshold:
        yield f"{where}.{'bank' if recipe.threshold is None else 'threshold'}: {reach.warning}"
    if reach.left_out:
        yield (
            f"{where}.bank: {reach.left_out} of the good images of {recipe.bank} are unlike the rest, and "
            f"nobody has said if they are good: `inspectd bank review {recipe.bank} --images DIR --out "
            "review.html` shows them, `bank accept` and `bank exclude` answer"
        )


def _not_held(recipe: config.Recipe) -> str:
    why = "quality_off leaves nothing" if recipe.quality_off else f"bank {recipe.bank} did not learn it"
    return (
        "frames are not held against how the good images were taken, so dark, blurred or shifted ones are "
        f"judged like any other: {why}; build it again, of enough images"
    )
