"""Gives cameras new settings while the line runs: a capture process ends and another one begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

from inspectd.batching.triggering import Triggering
from inspectd.capture.stage import CameraStage
from inspectd.config import Camera, Triggers
from inspectd.supervisor import Supervisor

_END_NS: Final = 2_000_000_000
"""A capture process that was asked to end has so long; then it is killed."""


class HoldsSlots(Protocol):
    """Holds frames' slots for a while, and counts on how many their camera has."""

    def use_slots(self, camera: str, slots: int) -> None:
        """A camera's next ring has so many slots."""


class _CameraChange(msgspec.Struct):
    """A camera on its way to new settings."""

    camera: Camera
    end_by_ns: int | None = None
    """None: it is not asked to end yet."""


class CameraChanges:
    """Cameras whose settings change.

    A camera takes no new triggers, gets the frames of those that are open, and its process ends. Once nothing
    is remembered of frames by the old settings, a process with the new ones starts. Others are not touched.

    Args:
        stages: the line's cameras, by name.
        supervisor: of their processes.
        triggering: matches frames by their camera's latency.
        triggers: how, beside.
        holders: of their slots.
    """

    def __init__(
        self,
        stages: Mapping[str, CameraStage],
        supervisor: Supervisor,
        triggering: Triggering,
        triggers: Triggers,
        holders: Iterable[HoldsSlots],
    ) -> None:
        self._stages = stages
        self._supervisor = supervisor
        self._triggering = triggering
        self._triggers = triggers
        self._holders = tuple(holders)
        self._under_way: list[_CameraChange] = []

    def begin(self, cameras: Iterable[Camera], judged_anew_from_ns: int | None) -> None:
        """Change the settings of these cameras; call `turn` until it is done.

        Args:
            cameras: with their new settings.
            judged_anew_from_ns: see `CameraStage.begin_change`.
        """
        for camera in cameras:
            self._stages[camera.name].begin_change(judged_anew_from_ns)
            self._under_way.append(_CameraChange(camera))

    def with_changed_files(self) -> set[str]:
        """Cameras whose pictures are made by files that have changed; each is down until it is changed."""
        return {name for name, stage in self._stages.items() if stage.files_changed}

    def turn(self, now_ns: int) -> bool:
        """Do what can be done now; True once every camera's process has started with its new settings."""
        self._under_way = [each for each in self._under_way if not self._go_on(each, now_ns)]
        return not self._under_way

    def _go_on(self, change: _CameraChange, now_ns: int) -> bool:
        """Whether this camera's process has started anew."""
        camera, stage = change.camera, self._stages[change.camera.name]
        if change.end_by_ns is None:
            if not self._triggering.awaits(camera.name):
                self._supervisor.finish(stage.name)
                stage.ask_to_stop()
                change.end_by_ns = now_ns + _END_NS
            return False
        if self._supervisor.running(stage.name):
            if now_ns > change.end_by_ns:
                stage.stuck = f"did not end within {_END_NS / 1e9:g} s"
            return False
        if not self._triggering.use_camera(camera, self._triggers):
            return False
        for holder in self._holders:
            holder.use_slots(camera.name, camera.slots)
        stage.use(camera)
        self._supervisor.start_again(stage, now_ns)
        return True
