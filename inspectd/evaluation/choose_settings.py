"""Chooses settings of PatchCore for a part, by images of good ones alone: `inspectd bank build --tune auto`.

Synthetic defects are drawn into some of the images. Every candidate scores these and the images as they
are, by fits that left the image out, and is held against the settings in force by the AUROC of the one
against the other. It replaces them only where the gain is beyond chance and beyond what synthetic defects can
tell. Other features, which take longer to score, are tried only where another recipe has replaced the usual
one: of synthetic defects more are found in a larger input on every data set, of real ones only there. Not to
be mistaken for `evaluation.tune`, which sweeps settings and needs labelled images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.build import BankBuilder
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.images import Pictures, named_image, read_again
from inspectd.bank.progress import Progress
from inspectd.bank.sample import Sample, SampleScores
from inspectd.bank.settings_choice import DEFAULT, FEWEST_IMAGES, MARGIN, SettingsChoice, SettingsTrial
from inspectd.bank.threshold import default_threshold, outliers
from inspectd.errors import InputError
from inspectd.evaluation.drawn_defects import WHOLE, drawn, place_of, size_range
from inspectd.evaluation.paste_plan import PlannedPaste, plan_pastes
from inspectd.evaluation.synthetic import Frame
from inspectd.model.architectures import default_layers
from inspectd.model.options import PatchCoreOptions, options_of
from inspectd.pictures.region import Region

MOST_IMAGES: Final = 150
_EACH: Final = 30
"""Synthetic defects of each kind and contrast."""
_FOLDS: Final = 3
_RESAMPLES: Final = 1000
_FINE: Final = 4
"""A fine grid has so many times more patches: that smaller a share of them is kept."""


@dataclass(frozen=True)
class Recipe:
    """A change of what is made of the features; it costs hardly any time.

    Attributes:
        name: for people; empty: no change.
        options: of PatchCore.
        head: of the head.
    """

    name: str
    options: dict[str, Any]
    head: dict[str, Any]


RECIPES: Final = (
    Recipe("", {}, {}),
    Recipe("no position weight", {"position_weight": 0.0}, {}),
    Recipe("places alike", {"position_weight": 0.0}, {"standardise": False}),
    Recipe(
        "places alike, no look-alike step",
        {"position_weight": 0.0},
        {"standardise": False, "similar_images": 0},
    ),
    Recipe(
        "published recipe",
        {"position_weight": 0.0, "local_scale": False, "reweight": True},
        {"standardise": False, "similar_images": 0, "smoothing": 0.0, "top": 1},
    ),
)
"""The last is Roth et al.'s: distances as they are, re-weighted by nine neighbours; the largest counts."""


@dataclass(frozen=True)
class Extraction:
    """A change of how features are made; all but the first make scoring slower.

    Attributes:
        name: for people; empty: no change.
        spec: settings of the build with it.
    """

    name: str
    spec: BuildSpec


@dataclass(frozen=True)
class Gain:
    """Difference of two AUROCs over the same images and synthetic defects.

    Attributes:
        value: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ChosenSettings:
    """Settings to build with.

    Attributes:
        spec: with the record of the choice, which goes into the bank.
        image_ms: time of one image under each that was tried, by name. It differs from run to run, so no
            bank records it.
    """

    spec: BuildSpec
    image_ms: dict[str, float]


class _TimeIsOverError(Exception):
    """The time that choosing may take is over."""


@dataclass(frozen=True)
class Material:
    """Good images, and what is to be drawn into them.

    Attributes:
        paths: of the images, in random order.
        sizes: their heights and widths.
        planned: the synthetic defects, those of the first image first.
        owners: (M,) int64, the image of each.
        region: the part of every image that is scored.
        bit_depth: of the images.
    """

    paths: list[Path]
    sizes: list[tuple[int, int]]
    planned: list[PlannedPaste]
    owners: NDArray[np.int64]
    region: Region
    bit_depth: int

    def __len__(self) -> int:
        """Number of images and defects."""
        return len(self.paths) + len(self.planned)

    def frames(self) -> Iterator[list[Frame]]:
        """Each image as it is, then with each of its synthetic defects."""
        for row, (path, size) in enumerate(zip(self.paths, self.sizes, strict=True)):
            frame = read_again(path, self.bit_depth)
            own = [self.planned[defect] for defect in np.flatnonzero(self.owners == row)]
            yield [frame, *(drawn(frame, one, place_of(one, size, self.region)).image for one in own)]


class SettingsJudge:
    """Holds candidates against the settings in force, and keeps the record.

    Args:
        owners: (M,) int64, the image of each synthetic defect.
        seed: of the resampling.
    """

    def __init__(self, owners: NDArray[np.int64], seed: int) -> None:
        self._owners = owners
        self._seed = seed
        self._scores: SampleScores | None = None
        self._trials: list[SettingsTrial] = []
        self.in_force = DEFAULT

    @property
    def trials(self) -> tuple[SettingsTrial, ...]:
        """The record so far."""
        return tuple(self._trials)

    def skip(self, name: str, reason: str) -> None:
        """Record candidates that were not tried."""
        self._trials.append(SettingsTrial(name, f"not tried: {reason}"))

    def compare(self, candidates: Sequence[tuple[str, SampleScores]]) -> None:
        """Put the best candidate in force where it is better by more than `MARGIN`.

        Args:
            candidates: each with its name, at least one; the first one ever is in force to begin with.
        """
        if self._scores is None:
            (self.in_force, self._scores), *candidates = candidates
            self._trials.append(_trial(self.in_force, self._scores, "to begin with"))
        before, now = self.in_force, self._scores
        gains = [gain(now, scores, self._owners, self._seed) for _, scores in candidates]
        clear = [row for row, found in enumerate(gains) if found.low > MARGIN]
        best = max(clear, key=lambda row: gains[row].value, default=None)
        for row, ((name, scores), found) in enumerate(zip(candidates, gains, strict=True)):
            outcome = "no clear gain"
            if row in clear:
                outcome = "clear gain, but another's is larger"
            if row == best:
                outcome = f"clear gain over {before}"
                self.in_force, self._scores = name, scores
            self._trials.append(_trial(name, scores, outcome, found))


def gain(before: SampleScores, after: SampleScores, owners: NDArray[np.int64], seed: int) -> Gain:
    """Gain in the AUROC of synthetic defects against good images, from some settings to others.

    The interval is from bootstrap samples of the images, each with the defects drawn into it, because the
    scores of one image go together (Efron, "Bootstrap Methods", 1979; percentiles).

    Args:
        before: scores under the settings in force.
        after: scores of the same images and defects under the others.
        owners: (M,) int64, the image of each defect.
        seed: of the resampling.
    """
    images = len(before.good)
    wins = _wins(after, owners) - _wins(before, owners)
    defects = np.bincount(owners, minlength=images)
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=_RESAMPLES)
    gains = ((weights @ wins) * weights).sum(axis=1) / np.maximum(weights @ defects, 1) / images
    low, high = np.percentile(gains, (2.5, 97.5))
    return Gain(float(wins.sum()) / len(owners) / images, float(low), float(high))


def _wins(scores: SampleScores, owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, N): how many defects drawn into one image score above another as it is; equal ones count half."""
    wins = np.zeros((len(scores.good), len(scores.good)))
    np.add.at(wins, owners, (np.sign(scores.changed[:, None] - scores.good) + 1) / 2)
    return wins


def _trial(name: str, scores: SampleScores, outcome: str, found: Gain | None = None) -> SettingsTrial:
    threshold, _ = default_threshold(scores.good[~outliers(scores.good)])
    return SettingsTrial(
        name,
        outcome,
        round(float(((np.sign(scores.changed[:, None] - scores.good) + 1) / 2).mean()), 4),
        round(float((scores.changed > threshold).mean()), 4),
        None if found is None else (round(found.value, 4), round(found.low, 4), round(found.high, 4)),
    )


def choose_settings(
    spec: BuildSpec,
    given: Sequence[str],
    paths: Sequence[Path],
    *,
    device: str,
    minutes: float,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> ChosenSettings:
    """Choose settings under which synthetic defects stand out from good images, or leave them as they are.

    Args:
        spec: settings of the build, of PatchCore.
        given: which of `size`, `grid`, `layers` and `coreset` the user gave; those stay as they are, and
            so do all of `spec.options`.
        paths: images of good parts.
        device: `cpu` or `cuda:N`.
        minutes: what does not fit into this time is not tried.
        progress: called with what is done, and all there is.
        clock: seconds.

    Raises:
        InputError: too few images can be used, or they are too small for graded defects.
    """
    end = clock() + 60 * minutes
    mask = BankBuilder(spec, device).fit_spec.mask
    scored_places = None if mask is None else mask.cpu().numpy()
    material = material_of(spec, paths, scored_places, progress)
    ladder = extractions(spec, given)
    judge = SettingsJudge(material.owners, spec.seed)
    image_ms: dict[str, float] = {}
    specs = {DEFAULT: spec}
    for rung, extraction in enumerate(ladder):

        def step(done: int, before: int = rung * len(material)) -> None:
            progress("settings", before + done, len(ladder) * len(material))
            if clock() > end:
                raise _TimeIsOverError

        name = extraction.name or DEFAULT
        if judge.trials and judge.in_force == DEFAULT:
            judge.skip(name, "slower, and no other recipe is clearly better")
            continue
        candidates = candidates_of(extraction)
        try:
            scored = _scored(candidates, material, device, step)
        except _TimeIsOverError:
            for left in ladder[rung:]:
                judge.skip(left.name or DEFAULT, f"the {minutes:g} minutes were over")
            break
        except InputError as error:
            if not judge.trials:
                raise
            judge.skip(name, str(error))
            continue
        judge.compare(scored)
        image_ms |= {name: scores.image_ms for name, scores in scored}
        specs |= dict(candidates)
    progress("settings", len(ladder) * len(material), len(ladder) * len(material))
    record = SettingsChoice(
        chosen=judge.in_force,
        images=len(material.paths),
        defects=len(material.planned),
        trials=judge.trials,
        given=(*given, *spec.options),
    )
    return ChosenSettings(replace(specs[judge.in_force], settings_choice=record), image_ms)


def extractions(spec: BuildSpec, given: Sequence[str]) -> list[Extraction]:
    """Ways to make features: the build's own first, then those that cost more and change nothing given."""
    found = [Extraction("", spec)]
    if not {"grid", "layers"} & set(given):
        found.append(Extraction("fine grid", _fine(spec, given)))
    if "size" not in given:
        larger = replace(spec, height=spec.height * 3 // 2, width=spec.width * 3 // 2)
        found.append(Extraction(f"input {larger.height}x{larger.width}", larger))
    return found


def _fine(spec: BuildSpec, given: Sequence[str]) -> BuildSpec:
    """A patch for each cell of the last layer but one: the finest of the usual three would give too many."""
    layers = (default_layers(spec.backbone) if spec.layers is None else spec.layers)[-2:]
    coreset = spec.coreset
    if isinstance(coreset, float) and "coreset" not in given:
        coreset /= _FINE
    patches = msgspec.structs.replace(spec.patches, grid="fine")
    return replace(spec, layers=layers, coreset=coreset, patches=patches)


def candidates_of(extraction: Extraction) -> list[tuple[str, BuildSpec]]:
    """An extraction with every recipe for which the build's own options leave room, each with its name."""
    found: list[tuple[str, BuildSpec]] = []
    for recipe in RECIPES:
        spec = replace(
            extraction.spec,
            options={**recipe.options, **extraction.spec.options},
            head=msgspec.structs.replace(extraction.spec.head, **recipe.head),
        )
        if all(spec != other for _, other in found):
            found.append((", ".join(filter(None, (extraction.name, recipe.name))) or DEFAULT, spec))
    return found


def _scored(
    candidates: Sequence[tuple[str, BuildSpec]],
    material: Material,
    device: str,
    step: Callable[[int], None],
) -> list[tuple[str, SampleScores]]:
    """What candidates of one extraction make of the material."""
    builder = BankBuilder(candidates[0][1], device)
    folds = [np.arange(len(material.paths))[fold::_FOLDS] for fold in range(_FOLDS)]
    sample = Sample(builder, material.frames(), owners=material.owners, folds=folds, step=step)
    scored = []
    for name, spec in candidates:
        options = options_of(spec.detector, spec.options)
        assert isinstance(options, PatchCoreOptions)
        scored.append((name, sample.scores(options, spec.head)))
        step(len(material))
    return scored


def material_of(
    spec: BuildSpec, paths: Sequence[Path], scored: NDArray[np.bool_] | None, progress: Progress
) -> Material:
    """Some of the images, no two the same, and a balanced plan of synthetic defects of every size.

    Args:
        spec: settings of the build.
        paths: images to choose from.
        scored: (h, w) bool, see `plan_pastes`.
        progress: called with the number of images found.
    """
    kept: list[Path] = []
    sizes: list[tuple[int, int]] = []
    seen = Pictures()
    most = min(len(paths), MOST_IMAGES)
    for row in np.random.default_rng(spec.seed).permutation(len(paths)):
        name, frame = named_image(paths[row], spec.bit_depth)
        if not isinstance(frame, str) and seen.same_as(name, frame) is None:
            kept.append(paths[row])
            sizes.append((frame.shape[0], frame.shape[1]))
            progress("sample", len(kept), most)
        if len(kept) == most:
            break
    if len(kept) < FEWEST_IMAGES:
        raise InputError(f"{len(kept)} images can be used, expected at least {FEWEST_IMAGES}")
    region = spec.patches.region or WHOLE
    planned = plan_pastes(_EACH, len(kept), size_range(sizes, region), spec.seed, scored=scored)
    planned.sort(key=lambda one: one.image)
    owners = np.array([one.image for one in planned], dtype=np.int64)
    return Material(kept, sizes, planned, owners, region, spec.bit_depth)
