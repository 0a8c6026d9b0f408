"""How an imported model is to be judged: by its own score, by its map, or by its map held against each place.

Chosen as settings of PatchCore are (`evaluation.choose_settings`): synthetic defects are drawn into good
images, and what makes them stand out clearly better than the model's own score replaces it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.build import BankBuilder
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.imported_sample import ImportedSample
from inspectd.bank.progress import Progress
from inspectd.bank.settings_choice import SettingsChoice
from inspectd.errors import InputError
from inspectd.evaluation.choose_settings import ChosenSettings, SettingsJudge, material_of
from inspectd.evaluation.synthetic import Frame
from inspectd.model.options import HeadOptions, ImportedOptions, options_of
from inspectd.pictures.region import pixels_of

JUDGINGS: Final = ("score", "map", "places")
"""The model's own score; the highest place of its map; that map, each place held against good images."""
RAW: Final = HeadOptions(standardise=False, smoothing=0.0, top=1, similar_images=0)
"""The head by which a model's own score, or the highest place of its map, is the image's score."""
BY_PLACE: Final = HeadOptions(similar_images=0)
"""The usual head, without what is predicted of images that look alike: maps tell no looks."""
_FIELDS: Final = 8
_LOWEST: Final = 0.5
"""AUROC of a model that tells nothing."""


def judged_by(spec: BuildSpec, judging: str) -> BuildSpec:
    """A build that judges by one of `JUDGINGS`.

    Raises:
        InputError: the model does not give what that needs.
    """
    options = _options(spec)
    if (options.score_output if judging == "score" else options.map_output) is None:
        raise InputError(f"--judge {judging}: the model gives {', '.join(options.outputs)} alone")
    judged: Literal["score", "map"] = "score" if judging == "score" else "map"
    head = BY_PLACE if judging == "places" else RAW
    return replace(spec, options={**spec.options, "judged": judged}, head=head)


def judgings_of(spec: BuildSpec) -> list[str]:
    """Those of `JUDGINGS` for which the model gives what they need, the one by default first."""
    options = _options(spec)
    given = {"score": options.score_output, "map": options.map_output, "places": options.map_output}
    return [name for name in JUDGINGS if given[name] is not None]


def choose_judging(
    spec: BuildSpec, builder: BankBuilder, paths: Sequence[Path], *, minutes: float, progress: Progress
) -> ChosenSettings:
    """Choose by which of `JUDGINGS` synthetic defects stand out from good images.

    Args:
        spec: of the import.
        builder: of it, whose extractor runs the model.
        paths: images of good parts.
        minutes: what does not fit into this time is an error.
        progress: called with what is done, and all there is.

    Raises:
        InputError: too few images can be used, they are too small for graded defects, time is over, or the
            model
            gives synthetic defects lower values than good images.
    """
    material = material_of(spec, paths, None, progress)
    end = time.monotonic() + 60 * minutes

    def step(done: int) -> None:
        progress("judging", done, len(material))
        if time.monotonic() > end:
            raise InputError(f"the {minutes:g} minutes of --tune-minutes were over")

    sample = ImportedSample(builder, material.frames(), len(material.paths), material.owners, step)
    judge = SettingsJudge(material.owners, spec.seed)
    specs = {name: judged_by(spec, name) for name in judgings_of(spec)}
    judge.compare([(name, sample.scores(_options(one), one.head)) for name, one in specs.items()])
    auroc = next(trial.auroc for trial in judge.trials if trial.name == judge.in_force)
    if auroc is not None and auroc < _LOWEST:
        told = ", ".join(
            f"{trial.name} {trial.auroc:.2f}" for trial in judge.trials if trial.auroc is not None
        )
        raise InputError(
            f"synthetic defects score lower than good images (AUROC {told}): expected a model whose values "
            "rise with defects; --lower-is-worse turns them around"
        )
    record = SettingsChoice(judge.in_force, len(material.paths), len(material.planned), judge.trials)
    return ChosenSettings(replace(specs[judge.in_force], settings_choice=record), {})


def unseen_fields(builder: BankBuilder, frame: Frame) -> NDArray[np.bool_]:
    """Fields (8, 8) of the judged region in which nothing changes what the model gives.

    No defect is found there. A crop within a model leaves such a border.

    Args:
        builder: whose extractor runs the model.
        frame: (H, W, 3) uint8 BGR, a good image.
    """
    rows, columns = pixels_of(builder.extractor.region, *frame.shape[:2])
    usual, noise = builder.extractor([frame]), np.random.default_rng(0)
    unseen = np.zeros((_FIELDS, _FIELDS), dtype=bool)
    for down, across in np.ndindex(unseen.shape):
        changed = frame.copy()
        field = changed[rows, columns][_field(rows, down), _field(columns, across)]
        field[:] = noise.integers(0, 256, field.shape, np.uint8)
        unseen[down, across] = bool((builder.extractor([changed]) == usual).all())
    return unseen


def _field(pixels: slice, number: int) -> slice:
    length = pixels.stop - pixels.start
    return slice(number * length // _FIELDS, (number + 1) * length // _FIELDS)


def _options(spec: BuildSpec) -> ImportedOptions:
    options = options_of(spec.detector, spec.options)
    assert isinstance(options, ImportedOptions)
    return options
