"""Triggers on their way to parts: whether one is taken, and which views it opens. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Callable, Container

from inspectd.batching.matching import FirstAfter, Matcher, Nearest, Settled
from inspectd.batching.parts import Part, Parts
from inspectd.config import Camera, Config, Triggers
from inspectd.recipes.book import RecipeBook
from inspectd.records import FrameRef, PendingView, Trigger
from inspectd.wire import Refusal, RefusalReason, TriggerRequest


def make_triggering(config: Config, book: RecipeBook) -> Triggering:
    """The triggered cameras of a line as its configuration describes them."""
    triggers = config.triggers
    return Triggering(
        {c.name: _make_matcher(triggers, c) for c in config.cameras if c.mode == "triggered"},
        Parts(triggers.max_open, int(triggers.id_memory_seconds * 1e9)),
        book,
    )


def _make_matcher(triggers: Triggers, camera: Camera) -> Matcher:
    window_ns, latency_ns = int(triggers.window_ms * 1e6), camera.latency_span_ns
    if triggers.match == "first_after":
        return FirstAfter(window_ns, latency_ns)
    # Half the ring: the other half is for frames that are being scored, and for the next ones.
    return Nearest(window_ns, int(triggers.before_ms * 1e6), latency_ns, history=camera.slots // 2)


class Triggering:
    """The triggered cameras of a line: their matchers, and the parts that are open."""

    def __init__(self, matchers: dict[str, Matcher], parts: Parts, book: RecipeBook) -> None:
        """Serve the cameras that `matchers` names.

        Args:
            matchers: one for each triggered camera.
            parts: the ledger of parts.
            book: the recipes that triggers may name, and the one in force, which the others get.
        """
        self.parts = parts
        self._matchers = matchers
        self._book = book

    def serves(self, camera: str) -> bool:
        """True for a triggered camera, of whose frames only those that a trigger claims are parts."""
        return camera in self._matchers

    def open_part(
        self,
        request: TriggerRequest,
        trigger: Trigger,
        *,
        judged: Container[str],
        is_up: Callable[[str], bool],
        new_id: Callable[[], int],
    ) -> Part | Refusal:
        """Open a trigger's part and its views, or refuse it.

        Args:
            request: what the plant sent.
            trigger: the same, dated.
            judged: keys of recipes whose bank is loaded and warm now.
            is_up: whether a camera delivers frames now.
            new_id: gives the next inspection id.
        """
        cameras = self._cameras_of(request)
        refusal = self._unknown(cameras)
        keys = {} if refusal else self._keys(request, cameras)
        refusal = refusal or self._refusal(request, keys, judged, is_up) or self._admission(trigger)
        if refusal is not None:
            self.pass_by(trigger, request)
            return Refusal(request.trigger_id, *refusal)
        if request.deadline_ms is not None:
            allowed_ns = int(request.deadline_ms * 1e6)
        else:
            allowed_ns = min(self._book.deadline_ns(key) for key in keys.values() if key is not None)
        deadline_ns = trigger.received_ns + allowed_ns
        views = [
            PendingView(
                new_id(),
                camera,
                key,
                trigger,
                deadline_ns,
                camera_settings=self._book.camera_settings(key, camera),
            )
            for camera, key in keys.items()
            if key is not None
        ]
        part = Part(trigger, deadline_ns, views)
        self.parts.add(part)
        for view in views:
            self._matchers[view.camera].expect(view)
        return part

    def pass_by(self, trigger: Trigger, request: TriggerRequest | None = None) -> None:
        """Keep the frames of a part that no trigger opens from older triggers: it may be there all the same.

        Args:
            trigger: was refused, or may have come and is lost.
            request: names its cameras; None: it may have been for any.
        """
        for camera in self._matchers if request is None else self._cameras_of(request):
            if camera in self._matchers:
                self._matchers[camera].pass_by(trigger)

    def awaits(self, camera: str) -> bool:
        """Whether a trigger waits for a frame of this camera."""
        return camera in self._matchers and bool(self._matchers[camera].waiting)

    def use_camera(self, camera: Camera, triggers: Triggers) -> bool:
        """Match this camera's frames by new settings; False while frames by its old ones are remembered.

        Triggers that were refused meanwhile go on to count: their parts are there all the same.
        """
        if camera.name not in self._matchers:
            return True
        old = self._matchers[camera.name]
        if not old.is_empty:
            return False
        new = self._matchers[camera.name] = _make_matcher(triggers, camera)
        new.triggers = old.triggers
        return True

    def hold_frame(self, frame: FrameRef) -> None:
        """Hand a frame to its camera's matcher; `settle` gives it back, with its view or without."""
        self._matchers[frame.camera].add_frame(frame)

    def settle(self, now_ns: int, known_ns: int) -> Settled:
        """Return what is certain on any camera, given every trigger that came until `known_ns`."""
        settled = [matcher.settle(now_ns, known_ns) for matcher in self._matchers.values()]
        return Settled(
            [pair for each in settled for pair in each.matched],
            [view for each in settled for view in each.missed],
            [frame for each in settled for frame in each.unclaimed],
        )

    def give_up(self) -> Settled:
        """Return every view that waits as missed and every frame that is held as unclaimed."""
        given_up = [matcher.give_up() for matcher in self._matchers.values()]
        return Settled(
            [],
            [view for each in given_up for view in each.missed],
            [frame for each in given_up for frame in each.unclaimed],
        )

    def needs_known_ns(self, known_ns: int) -> int | None:
        """See `Matcher.needs_known_ns`; the earliest of all cameras."""
        times = [matcher.needs_known_ns(known_ns) for matcher in self._matchers.values()]
        return min([time_ns for time_ns in times if time_ns is not None], default=None)

    def wake_ns(self) -> int | None:
        """See `Matcher.wake_ns`; the earliest of all cameras."""
        times = [matcher.wake_ns() for matcher in self._matchers.values()]
        return min([time_ns for time_ns in times if time_ns is not None], default=None)

    def _cameras_of(self, request: TriggerRequest) -> list[str]:
        """Camera of each view, unknown ones too."""
        return list(self._matchers if request.cameras is None else request.cameras)

    def _keys(self, request: TriggerRequest, cameras: list[str]) -> dict[str, str | None]:
        """What judges each view; None where no recipe of the name that the trigger gives is loaded."""
        if isinstance(request.cameras, dict):
            return {camera: self._book.key_named(name, camera) for camera, name in request.cameras.items()}
        if request.recipe is not None:
            return {camera: self._book.key_named(request.recipe, camera) for camera in cameras}
        return dict(self._book.keys_of_part(cameras))

    def _unknown(self, cameras: list[str]) -> tuple[RefusalReason, str] | None:
        if not cameras:
            return RefusalReason.UNKNOWN_CAMERA, "the line has no triggered camera"
        for camera in cameras:
            if camera not in self._matchers:
                names = ", ".join(self._matchers) or "none is configured"
                detail = f"no triggered camera {camera!r}, expected one of: {names}"
                return RefusalReason.UNKNOWN_CAMERA, detail
        return None

    def _refusal(
        self,
        request: TriggerRequest,
        keys: dict[str, str | None],
        judged: Container[str],
        is_up: Callable[[str], bool],
    ) -> tuple[RefusalReason, str] | None:
        for camera, key in keys.items():
            if key is None:
                given = request.cameras[camera] if isinstance(request.cameras, dict) else request.recipe
                detail = f"no recipe {given!r}, expected one of: {', '.join(self._book.names)}"
                return RefusalReason.UNKNOWN_RECIPE, detail
        for camera, key in keys.items():
            if not is_up(camera):
                return RefusalReason.NOT_READY, f"camera {camera} delivers no frames"
            if key not in judged:
                return RefusalReason.NOT_READY, f"scoring is not ready for recipe {key}"
        return None

    def _admission(self, trigger: Trigger) -> tuple[RefusalReason, str] | None:
        reason = self.parts.refusal(trigger.trigger_id, trigger.received_ns)
        if reason is RefusalReason.DUPLICATE_ID:
            return reason, f"trigger id {trigger.trigger_id!r} is open, or was closed recently"
        return (reason, f"{self.parts.open} triggers are open") if reason else None
