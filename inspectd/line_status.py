"""How a line is now: the facts its health is found from, and the answer to `inspectd status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from inspectd import __version__
from inspectd.alarms import EvidenceWatch
from inspectd.batching.stage import BatchingStage
from inspectd.capture.stage import CameraStage
from inspectd.config import Config, insecure_endpoints, plain_tcp
from inspectd.drift_watch import DriftWatch
from inspectd.health import HealthWatch, LineFacts, status_of
from inspectd.publish.bus import Bus
from inspectd.publish.journal.journal import Journal
from inspectd.recipes.book import RecipeBook
from inspectd.scoring.pool import ScoringPool
from inspectd.wire import LineState
from inspectd.wire.shadow import ShadowStatus
from inspectd.wire.sync import CameraStatus, GoldenStatus, KeysStatus, LineStatus, RecipeStatus


class LineLife(Protocol):
    """Where a line is in its life."""

    state: LineState
    """As heartbeats give it."""

    @property
    def scoring(self) -> ScoringPool:
        """The scoring processes, and what each has loaded."""

    @property
    def loading(self) -> str:
        """The recipe that is being prepared, `ID@VERSION`; empty: none is."""

    @property
    def shadow(self) -> ShadowStatus | None:
        """The recipe that scores without a vote, if there is one."""

    def conditions(self) -> list[tuple[str, str]]:
        """Name and detail of what is wrong with checks by golden parts, or with the shadow."""

    @property
    def drift_watch(self) -> DriftWatch:
        """What follows how frames change."""

    def golden_status(self) -> list[GoldenStatus]:
        """How the check of every recipe in force stands that has golden parts."""


class StatusTeller:
    """Puts together what the line's parts know of themselves. It reads levels only, and waits for nothing."""

    def __init__(
        self,
        config: Config,
        line: LineLife,
        batching: BatchingStage,
        cameras: Mapping[str, CameraStage],
        book: RecipeBook,
        *,
        bus: Bus,
        journal: Journal,
        evidence: EvidenceWatch,
        health: HealthWatch,
    ) -> None:
        """Tell of these parts."""
        self._config = config
        self._line = line
        self._batching = batching
        self._cameras = cameras
        self._book = book
        self._bus = bus
        self._journal = journal
        self._evidence = evidence
        self._health = health
        self._exposed = insecure_endpoints(config)
        self._plain = plain_tcp(config.publish, config.security)
        self._started_utc_ns = time.time_ns()

    def facts(self, now_ns: int) -> LineFacts:
        """What conditions are found from."""
        levels = {side: door.levels for side, door in self._bus.doors.items() if door.levels is not None}
        return LineFacts(
            state=self._line.state,
            scoring_ready=self._line.scoring.is_ready,
            scoring_down=[stage.name for stage in self._line.scoring.serving if stage.ready is None],
            scoring_refused=self._line.scoring.refused,
            phases={name: camera.phase for name, camera in self._cameras.items()},
            recent=self._health.kinds_by_camera(now_ns),
            refused=self._health.refused.counts(now_ns),
            journal_failure=self._journal.failure,
            evidence_problem=self._evidence.problem,
            evidence_stuck=self._evidence.stuck,
            doors_down=[side for side in self._bus.doors if side not in levels],
            shut=[f"{side} {socket}" for side, each in levels.items() for socket in each.shut],
            keys_unread=any(each.keys_unread for each in levels.values()),
            exposed=self._exposed,
            told=self._line.conditions(),
            drifts=self._line.drift_watch.warned(),
            not_set={name: c.settings_problem for name, c in self._cameras.items() if c.settings_problem},
        )

    def status(self, request: str, now_ns: int) -> LineStatus:
        """The answer to a client that asks how the line is."""
        config, line, journal = self._config, self._config.line, self._journal.levels
        ready = [stage.ready for stage in self._line.scoring.serving if stage.ready is not None]
        in_force = self._book.in_force
        banks = sorted(
            self._line.scoring.loaded(self._line.scoring.serving), key=lambda b: b.recipe not in in_force.keys
        )
        good_shares = {
            bank.recipe: bank.good_median / bank.threshold
            for bank in banks
            if bank.good_median is not None and bank.threshold
        }
        per_second = self._batching.images_per_second()
        conditions = self._health.find(self.facts(now_ns))  # those of the last heartbeat may be over by now
        return LineStatus(
            request=request,
            plant=line.plant,
            line=line.name,
            epoch=self._journal.epoch,
            software=__version__,
            started_utc_ns=self._started_utc_ns,
            utc_ns=time.time_ns(),
            state=self._line.state,
            health=status_of(conditions),
            conditions=conditions,
            counts=self._batching.counts(),
            cameras=[
                self._camera(camera.name, place, in_force.places[place], good_shares, now_ns)
                for camera in config.cameras
                for place in camera.places
            ],
            recipes=[
                RecipeStatus(
                    bank.recipe, bank.bank_sha256, bank.threshold, bank.check_above,
                    per_second.get(bank.recipe),
                )
                for bank in banks
            ],
            device=", ".join(each.device for each in ready) or None,
            waiting=self._batching.waiting,
            with_scoring=self._batching.scoring,
            journal=self._journal.state,
            journal_bytes=journal.size_bytes if journal is not None else None,
            disk_free_bytes=journal.free_bytes if journal is not None else None,
            evidence_bytes=self._evidence.used_bytes if config.evidence.enabled else None,
            evidence_quota_bytes=int(config.evidence.quota_mb * 1e6),
            connections=self._connections(),
            in_force=in_force.name,
            prepared=[each.name for each in reversed(self._book.loaded) if each is not in_force],
            shadow=self._line.shadow,
            golden=self._line.golden_status(),
            keys=self._keys(),
            in_force_number=in_force.number,
            loading=self._line.loading,
        )  # fmt: skip

    def _camera(
        self, name: str, place: str, recipe: str, good_shares: Mapping[str, float], now_ns: int
    ) -> CameraStatus:
        recent = self._health.recent[place]
        evaluations: Counter[str] = Counter()
        for (evaluation, _), count in recent.kinds(now_ns).items():
            evaluations[evaluation] += count
        return CameraStatus(
            name, self._cameras[name].phase, recipe, dict(evaluations), recent.score_share(),
            good_shares.get(recipe), self._line.drift_watch.shares(place), place.partition("/")[2] or None,
        )  # fmt: skip

    def _keys(self) -> KeysStatus:
        levels = self._bus.doors["tcp"].levels if "tcp" in self._bus.doors else None
        return KeysStatus(
            None if levels is None else levels.keys_allowed, levels is not None and levels.keys_unread,
            list(self._plain), list(self._exposed),
        )  # fmt: skip

    def _connections(self) -> dict[str, int]:
        return {
            socket if side == "local" else f"{side} {socket}": count
            for side, door in self._bus.doors.items()
            if door.levels is not None
            for socket, count in door.levels.connections.items()
        }
