"""The scoring process: batches in, scores and heatmaps out. No policy, no deadline and no bus.

Run by hand it loads every bank of a configuration, warms up, and prints what it loaded and how long it took:
`python -m inspectd.scoring.worker --config FILE`.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.backends.cuda.faults import faults_told
from inspectd.backends.cuda.memory import card_limit, check_fits, footprint, limit_memory, release_memory
from inspectd.backends.cuda.pinned import PinnedRings
from inspectd.backends.scorer import ImageScore, Scorer, ScorerInfo, ScoringOptions, computes_on_cuda
from inspectd.bank.file import read_bank
from inspectd.bank.reach import Reach, admit_threshold
from inspectd.errors import (
    BankError,
    ExitCode,
    InspectdError,
    UnavailableError,
)
from inspectd.ipc import child
from inspectd.ipc.channel import BUFFER_BYTES, Channel, largest_message_bytes
from inspectd.ipc.messages import AttachRing, DetachRing
from inspectd.ipc.ring import FrameRing, RingError
from inspectd.log import event
from inspectd.pictures.region import Region, pixels_of
from inspectd.quality.reasons import REASONS
from inspectd.records import (
    BankInForce,
    Batch,
    FrameRef,
    Inspection,
    MeasureLimit,
    Measures,
    Pace,
    Score,
    ScoreError,
)
from inspectd.scoring.messages import ScoringReady, StartScoring, ToScoring
from inspectd.scoring.paces import admit_pace, measured_pace, near_stall
from inspectd.scoring.placement import place_recipes
from inspectd.scoring.pool import process_names, process_starts
from inspectd.wire import Reason, Rectangle

if TYPE_CHECKING:
    from inspectd.quality.check import FrameCheck

_log: Final = logging.getLogger("inspectd.scoring")


_AT_ONCE: Final = 2
"""Batches on a device that overlaps: the frames of one are uploaded while the other is computed."""

_TRIALS: Final = 3
_HEATMAP_VALUE_BYTES: Final = 2
_BESIDE_HEATMAP_BYTES: Final = 4_096
"""What a record has beside its heatmap, at most: its measures in words are the most of it."""

Seen = list[tuple[Inspection, NDArray[np.uint8]]]
"""Inspections with their frames' pixels, (H, W, 3) uint8 BGR or (H, W, 1), in their rings."""


@dataclass(frozen=True)
class Finding:
    """What a frame is like, and whether that is like its bank's good images.

    Attributes:
        measures: None: the bank learnt nothing of that.
        flaw: reason that it must not be judged; None: it may.
        detail: every measure beyond its limits, in words.
    """

    measures: Measures | None = None
    flaw: Reason | None = None
    detail: str = ""


@dataclass(frozen=True)
class _UnderWay:
    """A batch in flight on the device; `collect` waits for it."""

    batch: Batch
    info: ScorerInfo
    seen: Seen
    findings: list[Finding]
    """One for each of `seen`."""
    collect: Callable[[], list[ImageScore]]


class ScoringWorker:
    """Scores batches whose frames lie in attached rings."""

    def __init__(self, channel: Channel[Any], start: StartScoring) -> None:
        """Serve `channel` with the banks of `start`."""
        self._channel = channel
        self._start = start
        self._scorers: dict[str, Scorer] = {}
        self._off = {recipe.name: switched_off(recipe.quality_off) for recipe in start.recipes}
        self._rings: dict[tuple[str, int], FrameRing] = {}
        self._under_way: deque[_UnderWay] = deque()
        self._pinned = PinnedRings("cpu")
        self._heart = child.Heart(channel)

    @faults_told()
    def live(self) -> ExitCode:
        """Load, warm up, report that, and score until the main process closes the channel.

        Raises:
            BankError: a bank cannot be used.
            UnavailableError: the device is not there, has not the memory now, or was lost to this process.
            ChannelClosedError: the main process is gone, or let this one go.
        """
        child.pin(self._start.cores)  # before anything starts threads
        if self._start.is_shadow:
            child.stand_back()
        ready, self._scorers = load(self._start)
        if self._start.is_beside:
            child.take_part(os.getpid())
        self._pinned = PinnedRings(ready.device)
        self._channel.send_wait(ready)
        while True:
            self.turn()

    def turn(self) -> None:
        """Take what the main process sent, a batch at most, and answer a batch that has to be answered."""
        self._heart.beat()
        waiting = self._channel.wait(0.0 if self._under_way else child.HEARTBEAT_SECONDS)
        if waiting:
            self._serve_waiting()
        # What waits may be a batch, whose frames can be uploaded while the one before is computed.
        if self._under_way and (not waiting or len(self._under_way) >= _AT_ONCE):
            self._answer_oldest()

    def _serve_waiting(self) -> None:
        while (received := self._channel.receive()) is not None:
            record, fds = received
            if isinstance(record, Batch):
                self._score(record)
                return  # a heartbeat between batches shows that the device still answers
            if isinstance(record, AttachRing):
                ring = FrameRing.attach(fds[0])
                self._pinned.add(ring)
                self._rings[record.camera, record.generation] = ring
            elif isinstance(record, DetachRing):
                while self._under_way:  # the device may still read from it
                    self._answer_oldest()
                ring = self._rings.pop((record.camera, record.generation))
                self._pinned.remove(ring)
                ring.close()
            else:
                raise TypeError(f"not a record for a scoring process: {record!r}")

    def _score(self, batch: Batch) -> None:
        """Answer each inspection of a batch once, with a score or with the reason why there is none."""
        seen = [(i, pixels) for i in batch.inspections if (pixels := self._view(batch, i)) is not None]
        if not seen:
            return
        scorer = self._scorers[batch.recipe]
        off = self._off.get(batch.recipe, frozenset())
        # Where frames are computed one after another, each is answered as soon as it is scored.
        groups = [[one] for one in seen] if scorer.is_one_by_one else [seen]
        for group in groups:
            collect = scorer.begin([pixels for _, pixels in group])
            # A device that computes by itself does so meanwhile.
            findings = [find(scorer.check, pixels, off) for _, pixels in group]
            self._under_way.append(_UnderWay(batch, scorer.info, group, findings, collect))
            while self._under_way and not scorer.overlaps:  # another recipe's batch may be before it
                self._answer_oldest()

    def _answer_oldest(self) -> None:
        """Wait for the batch that was begun first, and answer its inspections."""
        done = self._under_way.popleft()
        images = done.collect()
        if len(images) != len(done.seen):
            raise InspectdError(f"the scorer answered {len(images)} scores for {len(done.seen)} frames")
        for (inspection, _), finding, image in zip(done.seen, done.findings, images, strict=True):
            if self._view(done.batch, inspection) is not None:  # it still lies where it was scored
                self._channel.send_wait(_score_record(done.batch, inspection, image, finding, done.info))
        self._heart.shown()

    def _view(self, batch: Batch, inspection: Inspection) -> NDArray[np.uint8] | None:
        """The frame's pixels in its ring; None if they are not there, which is then answered here."""
        try:
            pixels = self._ring(inspection).view(inspection.frame)
            if pixels.shape[2] in {1, 3}:
                return pixels
            reason, detail = Reason.SCORING_ERROR, f"a frame of {pixels.shape[2]} channels, expected 3 or 1"
        except RingError as error:
            reason, detail = Reason.FRAME_LOST, str(error)
        event(_log, logging.ERROR, reason, camera=inspection.frame.camera, detail=detail)
        self._channel.send_wait(ScoreError(batch.batch_id, inspection.inspection_id, reason, detail))
        return None

    def _ring(self, inspection: Inspection) -> FrameRing:
        frame = inspection.frame
        ring = self._rings.get((frame.camera, frame.generation))
        if ring is None:
            raise RingError(f"no ring of {frame.camera}, generation {frame.generation}, is attached")
        return ring


@faults_told()
def load(start: StartScoring, most_record_bytes: int | None = None) -> tuple[ScoringReady, dict[str, Scorer]]:
    """Load and warm up the bank of every recipe that is placed in this process; the scorers by recipe.

    Args:
        start: what to load.
        most_record_bytes: of a record with a heatmap; None: what this machine lets a channel carry.

    Raises:
        BankError: a bank or a threshold cannot be used, or the device never holds all banks; it names one.
        UnavailableError: the device is not there, does not hold all of them now, was lost meanwhile, or is
            too slow for one of them; or a channel of this machine does not carry the heatmaps of one.
    """
    most_record_bytes = largest_message_bytes() if most_record_bytes is None else most_record_bytes
    began = time.perf_counter()
    start, reaches = _usable(start)
    start = with_room(start)
    banks, paces = [], []
    scorers: dict[str, Scorer] = {}
    device = "cpu"
    for recipe in start.recipes:
        try:
            scorer = Scorer.load(Path(recipe.bank), start.scoring.device, _options(start))
        except BankError as error:
            _leave_out(start, recipe.name, error)
            continue
        if scorer.check is not None:
            scorer.check.admit(switched_off(recipe.quality_off))
        scorer.warm_up(start.max_batch)
        heatmap_shape = _warm_up_as_used(scorer)
        pace = measured_pace(recipe.name, scorer, start.max_batch)
        try:
            _admit_heatmap(heatmap_shape, recipe.bank, most_record_bytes)
            _admit_pace(start, pace, recipe.bank, is_one_by_one=scorer.is_one_by_one)
        except UnavailableError as error:
            _leave_out(start, recipe.name, error)
            continue
        paces.append(pace)
        scorers[recipe.name] = scorer
        device = str(scorer.info.device)
        info = scorer.info
        threshold = info.threshold if recipe.threshold is None else recipe.threshold
        banks.append(
            BankInForce(
                recipe.name, info.sha256, info.detector, info.backbone, info.rows, info.dims,
                threshold, info.image_sizes, info.bit_depth,
                recipe.any_size, recipe.check_above, reaches[recipe.name].median,
                _limits_in_force(scorer, recipe),
            )
        )  # fmt: skip
        event(
            _log, logging.INFO, "bank_loaded", recipe=recipe.name, bank=recipe.bank, rows=info.rows,
            device=info.device, backend=info.backend, precision=info.precision, search=info.search or None,
        )  # fmt: skip
        reach = reaches[recipe.name]
        event(
            _log, logging.WARNING if reach.problem else logging.INFO, "threshold_in_force",
            recipe=recipe.name, threshold=threshold, good_images=reach.images, good_above=reach.above,
            good_median=reach.median, good_highest=reach.highest,
            times_as_far=reach.times if math.isfinite(reach.times) else None,
            accepted=recipe.accept_threshold,
        )  # fmt: skip
        if reach.left_out:
            event(
                _log, logging.INFO, "images_not_answered", recipe=recipe.name, bank=recipe.bank,
                images=reach.left_out,
            )  # fmt: skip
    return ScoringReady(banks, paces, device, time.perf_counter() - began), scorers


def _admit_pace(start: StartScoring, pace: Pace, bank: str, *, is_one_by_one: bool) -> None:
    """Refuse a bank that would count as hung as soon as it scores, and warn of one that nearly would.

    Raises:
        UnavailableError: it is too slow now.
    """
    if start.is_shadow:  # nobody waits for a shadow, and another time-out holds for it
        return
    admit_pace(pace, bank, start.scoring.stall_timeout_ms, is_one_by_one=is_one_by_one)
    near = near_stall(pace, start.scoring.stall_timeout_ms, is_one_by_one=is_one_by_one)
    if near is not None:
        event(_log, logging.WARNING, "bank_near_stall", recipe=pace.recipe, bank=bank, detail=near)


def _admit_heatmap(shape: tuple[int, int], bank: str, most_bytes: int) -> None:
    """Refuse a bank of which no score would reach the main process: each would end this one.

    Raises:
        UnavailableError: its heatmaps are larger than a channel carries here.
    """
    rows, columns = shape
    heatmap_bytes = rows * columns * _HEATMAP_VALUE_BYTES
    needed = heatmap_bytes + _BESIDE_HEATMAP_BYTES
    if needed > most_bytes:
        kernel = f"set net.core.wmem_max to {BUFFER_BYTES} (sysctl), or " if needed <= BUFFER_BYTES else ""
        raise UnavailableError(
            f"bank {bank}: its heatmaps of {rows} x {columns} take {heatmap_bytes} bytes each, and "
            f"processes of this machine can send one another {most_bytes} at once, with what is said beside; "
            f"{kernel}build it for a smaller input (--size), or with --grid coarse"
        )


def _warm_up_as_used(scorer: Scorer) -> tuple[int, int]:
    """Score odd pictures of the size of the bank's images; rows and columns of their heatmaps.

    Blank ones of the network's size go neither through the resizing nor through all of the search.
    """
    info = scorer.info
    size = info.image_sizes[0] if info.image_sizes else (2 * info.input_height, 2 * info.input_width)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for _ in range(_TRIALS):
        (image,) = scorer.score([noise])
    rows, columns = image.heatmap.shape
    return rows, columns


def _usable(start: StartScoring) -> tuple[StartScoring, dict[str, Reach]]:
    """The same without those to spare whose banks cannot be used, and how far each threshold reaches.

    Raises:
        BankError: one that is needed cannot be used.
    """
    reaches: dict[str, Reach] = {}
    for recipe in start.recipes:
        try:
            reaches[recipe.name] = admit_threshold(recipe)
        except BankError as error:
            _leave_out(start, recipe.name, error)
    kept = tuple(recipe for recipe in start.recipes if recipe.name in reaches)
    return msgspec.structs.replace(start, recipes=kept), reaches


def _leave_out(start: StartScoring, recipe: str, error: BankError | UnavailableError) -> None:
    """Go on without a recipe to spare, whose bank cannot be used.

    Raises:
        BankError: it is needed, and `error` is this.
        UnavailableError: likewise.
    """
    if recipe not in start.spare:
        raise error
    event(_log, logging.WARNING, "recipe_left_out", recipe=recipe, detail=str(error))


def with_room(start: StartScoring) -> StartScoring:
    """The same with the recipes that this process loads: as many of those that may be left out as find room.

    Raises:
        BankError: a bank cannot be read, or the others never find room.
        UnavailableError: the device is not there, or has not the memory now.
    """
    names = {recipe.name for recipe in start.recipes}
    spare = [name for name in start.spare if name in names]
    while True:
        try:
            here = placed(start)
            admit_banks(here)
        except (BankError, UnavailableError):
            if not spare:
                raise
            left_out = spare.pop(0)
            event(_log, logging.INFO, "recipe_left_out", recipe=left_out)
            kept = tuple(recipe for recipe in start.recipes if recipe.name != left_out)
            start = msgspec.structs.replace(start, recipes=kept)
        else:
            return here


def placed(start: StartScoring) -> StartScoring:
    """The same with those of its recipes that this process loads, which every process works out alike.

    Raises:
        BankError: a bank cannot be read, or finds no room on any card.
        UnavailableError: the device is not there, or another one that would have room.
    """
    devices, own = start.scoring.devices, start.scoring.device
    if len(devices) < 2 or len(start.recipes) < 2 or not computes_on_cuda(own):
        return start
    limits = [card_limit(device, start.scoring.device_memory_mb) for device in devices]
    banks = [footprint(recipe.name, recipe.bank, read_bank(Path(recipe.bank))) for recipe in start.recipes]
    try:
        here = place_recipes(banks, limits, start.cameras)[start.process]
    except BankError as error:
        if all(limits):
            raise
        raise UnavailableError(f"{error}; one of them is not there now") from error
    if not here:
        raise BankError(f"scoring.devices: {own} has room for none of the banks; take it out")
    return msgspec.structs.replace(start, recipes=tuple(r for r in start.recipes if r.name in here))


def admit_banks(start: StartScoring) -> None:
    """Refuse banks that a CUDA device does not hold together, before the first of them goes there.

    Raises:
        BankError: a bank cannot be read, or the device never holds all of them; the message names one.
        UnavailableError: the device is not there, or does not hold all of them now.
    """
    if not computes_on_cuda(start.scoring.device):
        return
    banks = [footprint(recipe.name, recipe.bank, read_bank(Path(recipe.bank))) for recipe in start.recipes]
    check_fits(banks, limit_memory(start.scoring.device, start.scoring.device_memory_mb))


def _options(start: StartScoring) -> ScoringOptions:
    scoring = start.scoring
    return ScoringOptions(scoring.backend, scoring.search, scoring.threads)


def find(check: FrameCheck | None, pixels: NDArray[np.uint8], off: frozenset[Reason]) -> Finding:
    """Measure a frame, (H, W, C) uint8, against what its bank learnt; reasons of `off` do not count."""
    if check is None:
        return Finding()
    measures = check.measure(pixels)
    beyond = check.beyond(measures, off)
    return Finding(measures, check.reason(beyond), check.described(beyond, measures))


def switched_off(off: Sequence[str]) -> frozenset[Reason]:
    """The reasons that `quality_off` of a recipe names."""
    return frozenset(Reason(f"quality_{each}") for each in off)


def _limits_in_force(scorer: Scorer, recipe: config.KeyedRecipe) -> dict[str, MeasureLimit]:
    if scorer.check is None:
        return {}
    off = switched_off(recipe.quality_off)
    limits = scorer.check.learnt.limits
    return {name: limit for name, limit in limits.items() if REASONS[name] not in off}


def _score_record(
    batch: Batch, inspection: Inspection, image: ImageScore, finding: Finding, info: ScorerInfo
) -> Score:
    height, width = image.heatmap.shape
    return Score(
        batch.batch_id,
        inspection.inspection_id,
        image.image_score,
        image.heatmap.astype("<f2").tobytes(),
        height,
        width,
        info.sha256,
        image.stage_ms,
        finding.measures,
        finding.flaw,
        finding.detail,
        _heatmap_rectangle(inspection.frame, info.region),
    )


def _heatmap_rectangle(frame: FrameRef, scored: Region | None) -> Rectangle | None:
    """See `Score.heatmap_rectangle`."""
    if scored is None:
        return None
    rows, columns = pixels_of(scored, *frame.looked_at_size)
    left, top = (0, 0) if frame.region is None else (frame.region.left, frame.region.top)
    return Rectangle(
        left + columns.start, top + rows.start, columns.stop - columns.start, rows.stop - rows.start
    )


def _by_hand(arguments: argparse.Namespace) -> ExitCode:
    settings = config.load(arguments.config)
    starts = process_starts(settings.scoring, settings.recipes, settings.batching.max_batch, settings.cameras)
    for name, start in zip(process_names(settings.scoring), starts, strict=True):
        ready, _ = load(start)
        for bank in ready.banks:
            facts = f"{bank.detector}, {bank.backbone}, {bank.rows} x {bank.dims}"
            print(f"{bank.recipe}: {facts}, threshold {bank.threshold:.4f}")  # noqa: T201
        print(f"{name}: warm on {ready.device} after {ready.warmup_seconds:.1f} s")  # noqa: T201
        release_memory()
    return ExitCode.OK


def main() -> ExitCode:
    """Be the scoring process of a daemon (`--channel`) or check a configuration by hand (`--config`)."""
    parser = child.argument_parser("inspectd.scoring.worker", "The scoring process.")
    child.add_name(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="by hand: load this file's banks and report"
    )
    return child.run(
        parser, ToScoring, StartScoring, lambda channel, start: ScoringWorker(channel, start).live(), _by_hand
    )


if __name__ == "__main__":
    sys.exit(main())
