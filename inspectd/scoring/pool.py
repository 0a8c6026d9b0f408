"""The scoring processes of a line: one for each device, or several that share the cores of a CPU."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from inspectd.config import Camera, Config, KeyedRecipe, Recipe, ScoringSettings
from inspectd.errors import InputError
from inspectd.ipc.ring import FrameRing
from inspectd.records import BankInForce, Batch
from inspectd.scoring.messages import StartScoring
from inspectd.scoring.stage import SCORING, ScoringEvents, ScoringStage


class ScoringPool:
    """The supervisor's jobs that score, numbered from 0, and what all of them have to know.

    There are two sides with a job for each device. One side serves; the other one is idle, or loads other
    recipes while the first goes on. When it is warm the two change places: so nothing that happens while
    recipes are loaded, not even the death of the process that loads them, touches the parts of the line.

    Args:
        config: the line's.
        events: takes their answers.
        recipes: what scoring begins with.
        command: the scoring process: its module, and arguments of its own after that.

    Raises:
        InputError: there are not as many cores as processes.
    """

    def __init__(
        self,
        config: Config,
        events: ScoringEvents,
        recipes: Sequence[Recipe],
        command: Sequence[str] = SCORING,
    ) -> None:
        self._config = config
        self._is_swapped = False
        self._needed = {recipe.name for recipe in recipes}
        starts = process_starts(config.scoring, recipes, config.batching.max_batch, config.cameras)
        names = process_names(config.scoring)
        sides = [*names, *(f"{name}-b" for name in names)]
        self.stages = [
            ScoringStage(number, name, start, events, command)
            for number, (name, start) in enumerate(zip(sides, starts * 2, strict=True))
        ]
        """Those of both sides; their place is their number."""

    @property
    def serving(self) -> list[ScoringStage]:
        """Those that score."""
        return self._side(second=self._is_swapped)

    @property
    def standby(self) -> list[ScoringStage]:
        """Those that do not run, or load other recipes."""
        return self._side(second=not self._is_swapped)

    def _side(self, *, second: bool) -> list[ScoringStage]:
        half = len(self.stages) // 2
        return self.stages[half:] if second else self.stages[:half]

    def number_beside(self, process: int) -> int:
        """The number of the process that has the same device, on the other side."""
        return (process + len(self.stages) // 2) % len(self.stages)

    @property
    def is_ready(self) -> bool:
        """True while every recipe that judges is loaded and warm in a process."""
        return self._needed <= {bank.recipe for bank in self.loaded(self.serving)}

    @property
    def is_known(self) -> bool:
        """Whether every process that serves has loaded what it could."""
        return all(stage.ready is not None for stage in self.serving)

    @property
    def refused(self) -> str:
        """Why a process has banks that are not to judge, which takes a person's restart; empty: none has."""
        return next((stage.refused for stage in self.serving if stage.refused), "")

    @staticmethod
    def loaded(stages: Iterable[ScoringStage]) -> list[BankInForce]:
        """The banks that are warm in these processes, each once."""
        ready = [stage.ready for stage in stages if stage.ready is not None]
        return list({bank.recipe: bank for each in ready for bank in each.banks}.values())

    def load(self, recipes: Sequence[Recipe], spare: Sequence[str]) -> list[ScoringStage]:
        """Have the idle side load these recipes; the jobs to start.

        Args:
            recipes: all that it is to have.
            spare: names of those that are left out, in this order, where not all find room; each too where
                its bank cannot be used.
        """
        config = self._config
        starts = process_starts(config.scoring, recipes, config.batching.max_batch, config.cameras)
        for stage, start in zip(self.standby, starts, strict=True):
            stage.load(msgspec.structs.replace(start, spare=tuple(spare), is_beside=True))
        return self.standby

    def swap(self) -> None:
        """Score with the other side from now on; a process of it that dies loads the same recipes again."""
        self._is_swapped = not self._is_swapped
        self.serve({bank.recipe for bank in self.loaded(self.serving)}, ())

    def serve(self, needed: set[str], spare: Sequence[str]) -> None:
        """Have each process that serves load these where it starts anew, and no others.

        Where all have left out one that is needed, they start anew until they have it: it was put in force
        while they loaded.

        Args:
            needed: recipes that judge.
            spare: those that may come to it; they are left out, in this order, as for `load`.
        """
        self._needed = needed
        for stage in self.serving:
            stage.keep(needed, spare)
        if self.is_known and not self.is_ready:
            lacking = needed - {bank.recipe for bank in self.loaded(self.serving)}
            for stage in self.serving:
                stage.stuck = f"it has not loaded what is in force: {', '.join(sorted(lacking))}"

    def send(self, process: int, batch: Batch) -> bool:
        """See `ScoringStage.send`."""
        return self.stages[process].send(batch)

    def attach(self, camera: str, ring: FrameRing) -> None:
        """Give every process a ring that frames will lie in."""
        for stage in self.stages:
            stage.attach(camera, ring)

    def detach(self, camera: str, generation: int) -> None:
        """Take a ring back from every process in which no frame lies any more."""
        for stage in self.stages:
            stage.detach(camera, generation)


def process_names(scoring: ScoringSettings) -> list[str]:
    """Name of each scoring process in events and metrics: `scoring`, or `scoring-0`, `scoring-1`..."""
    count = len(scoring.devices)
    return ["scoring"] if count < 2 else [f"scoring-{number}" for number in range(count)]


def process_starts(
    scoring: ScoringSettings,
    recipes: Sequence[Recipe],
    max_batch: int,
    cameras: Iterable[Camera],
    cores: Iterable[int] | None = None,
) -> list[StartScoring]:
    """What each scoring process begins with.

    Several on the CPU get equal shares of its cores, neighbours together, and a thread for each of theirs.

    Args:
        scoring: names the devices.
        recipes: of the line.
        max_batch: most inspections of a batch.
        cameras: of the line; where banks do not all fit on every card, they are spread by these.
        cores: those that may be used; None: those of this process.

    Raises:
        InputError: there are not as many cores as processes on the CPU.
    """
    devices = scoring.devices or (scoring.device,)
    shares = iter(_core_shares(devices.count("cpu"), sorted(cores or os.sched_getaffinity(0))))
    cameras_of = dict(Counter(recipe for camera in cameras for recipe in camera.places.values()))
    keyed = tuple(msgspec.convert(msgspec.to_builtins(recipe), KeyedRecipe) for recipe in recipes)
    starts = []
    for number, device in enumerate(devices):
        pinned = next(shares) if device == "cpu" else ()
        threads = scoring.threads or len(pinned)
        own = msgspec.structs.replace(scoring, device=device, threads=threads)
        starts.append(StartScoring(own, keyed, max_batch, number, cameras_of, pinned))
    return starts


def _core_shares(processes: int, cores: list[int]) -> list[tuple[int, ...]]:
    """Cores of each process on the CPU; none where a single one may use all."""
    if processes > len(cores):
        raise InputError(
            f"scoring.devices: names the CPU {processes} times, expected at most {len(cores)}, the cores "
            "this process may use: each gets its own"
        )
    if processes < 2:
        return [()] * processes
    ends = [len(cores) * number // processes for number in range(processes + 1)]
    return [tuple(cores[begin:end]) for begin, end in pairwise(ends)]
