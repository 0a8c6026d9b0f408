"""Sweeps settings of PatchCore and recommends some."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.progress import Progress
from inspectd.errors import InputError
from inspectd.evaluation.dataset import LabelledImage
from inspectd.evaluation.evaluate import BankReport, evaluate
from inspectd.files import temporary_folder

_NOISE = 0.002
"""Image AUROC differences below this are chance: another seed moves it as much."""


@dataclass(frozen=True)
class Sweep:
    """Settings to try, in every combination."""

    sizes: Sequence[tuple[int, int]]
    coresets: Sequence[float | int]
    neighbours: Sequence[int]
    layers: Sequence[tuple[str, ...]]


class Limits(msgspec.Struct, frozen=True):
    """Limits of a recommended setting."""

    latency_ms: float | None = None
    bank_mb: float | None = None


class TuningTrial(msgspec.Struct, frozen=True):
    """One combination and its results."""

    size: str
    coreset: float | int
    neighbours: int
    layers: tuple[str, ...]
    image_auroc: float
    pixel_auroc: float | None
    latency_ms: float
    bank_mb: float
    pareto: bool = False
    """No other trial is at least as good in accuracy, latency and memory and better in one."""

    def name(self) -> str:
        """A short name for plots."""
        return f"{self.size} {self.coreset:g} k{self.neighbours} {len(self.layers)}L"


class Tuning(msgspec.Struct, frozen=True):
    """All trials and the recommended one."""

    trials: list[TuningTrial]
    recommended: int
    reason: str
    from_the_bank: list[str] = []
    """Labelled images that the banks were built from; see `BankReport`."""
    empty_masks: list[str] = []
    """As there."""
    undecidable: dict[str, str] = {}
    """As there, of any of the banks."""


def tune(
    good: Sequence[Path],
    images: Sequence[LabelledImage],
    base: BuildSpec,
    sweep: Sweep,
    *,
    device: str,
    limits: Limits,
    progress: Progress,
) -> Tuning:
    """Build and evaluate a bank for every combination.

    Args:
        good: images of good parts to fit on.
        images: labelled images to judge by.
        base: everything that is not swept.
        sweep: combinations to try.
        device: `cpu` or `cuda:N`.
        limits: of the recommended setting.
        progress: called with the number of combinations done.

    Raises:
        InputError: a combination cannot be built, or none is within the limits.
    """
    trials: list[TuningTrial] = []
    own, empty_masks, undecidable = set[str](), set[str](), dict[str, str]()
    specs = list(_combinations(base, sweep))
    progress("settings", 0, len(specs))
    with temporary_folder("inspectd-tune-") as folder:
        for spec in specs:
            bank = Path(folder) / "trial.bank"
            build_bank(good, bank, spec, lambda *_: None, device)
            result = evaluate(bank, images, device, lambda *_: None).report
            own |= set(result.from_the_bank or ())
            empty_masks |= set(result.empty_masks)
            undecidable |= result.undecidable
            trials.append(_trial(spec, result))
            progress("settings", len(trials), len(specs))
    return msgspec.structs.replace(
        choose(trials, limits),
        from_the_bank=sorted(own),
        empty_masks=sorted(empty_masks),
        undecidable=undecidable,
    )


def choose(trials: Sequence[TuningTrial], limits: Limits) -> Tuning:
    """Mark the Pareto points and recommend the cheapest of those that are as accurate as the best.

    Raises:
        InputError: no trial is within the limits.
    """
    marked = [
        msgspec.structs.replace(trial, pareto=not any(_beats(o, trial) for o in trials)) for trial in trials
    ]
    allowed = [index for index, trial in enumerate(marked) if _within(trial, limits)]
    if not allowed:
        fastest, smallest = min(t.latency_ms for t in trials), min(t.bank_mb for t in trials)
        raise InputError(
            "no setting is within the limits: "
            f"the fastest takes {fastest:.1f} ms, the smallest {smallest:.1f} MB"
        )
    best = max(marked[index].image_auroc for index in allowed)
    equals = [
        index for index in allowed if marked[index].image_auroc >= best - _NOISE and marked[index].pareto
    ]
    chosen = min(equals, key=lambda index: marked[index].latency_ms)
    reason = (
        f"the fastest of the {len(equals)} Pareto points whose image AUROC is within {_NOISE} of the best "
        f"({best:.4f}) that the limits allow"
    )
    return Tuning(marked, chosen, reason)


def _beats(one: TuningTrial, other: TuningTrial) -> bool:
    at_least = (
        one.image_auroc >= other.image_auroc
        and one.latency_ms <= other.latency_ms
        and one.bank_mb <= other.bank_mb
    )
    return at_least and (one.image_auroc, one.latency_ms, one.bank_mb) != (
        other.image_auroc,
        other.latency_ms,
        other.bank_mb,
    )


def _within(trial: TuningTrial, limits: Limits) -> bool:
    fast = limits.latency_ms is None or trial.latency_ms <= limits.latency_ms
    return fast and (limits.bank_mb is None or trial.bank_mb <= limits.bank_mb)


def _combinations(base: BuildSpec, sweep: Sweep) -> Iterator[BuildSpec]:
    for (height, width), coreset, neighbours, layers in itertools.product(
        sweep.sizes, sweep.coresets, sweep.neighbours, sweep.layers
    ):
        options = base.options | {"neighbours": neighbours}
        yield replace(
            base, detector="patchcore", options=options, layers=layers, height=height, width=width,
            coreset=coreset,
        )  # fmt: skip


def _trial(spec: BuildSpec, result: BankReport) -> TuningTrial:
    return TuningTrial(
        f"{spec.height}x{spec.width}",
        spec.coreset,
        spec.options["neighbours"],
        spec.layers or (),
        result.image_auroc,
        result.pixel_auroc,
        result.latency_ms["p50"],
        result.bank_mb,
    )
