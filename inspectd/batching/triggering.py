"""Triggers on their way to parts: whether one is taken, and which views it opens. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from inspectd.batching.matching import FirstAfter, Matcher, Nearest, Settled
from inspectd.batching.parts import Part, Parts
from inspectd.config import Camera, Config, Triggers
from inspectd.recipes.book import RecipeBook
from inspectd.records import FrameRef, FrameRegion, PendingView, Trigger
from inspectd.wire import Refusal, RefusalReason, TriggerRequest, place_of

Regions = Mapping[str, Sequence[FrameRegion]]
"""By camera; those that have none are not among them."""

_Look = tuple[str, FrameRegion | None]
"""A camera, and what of its frames is looked at."""


class SettledViews(NamedTuple):
    """See `Settled`; a frame is matched with all views that its camera has of the part."""

    matched: list[tuple[list[PendingView], FrameRef]]
    missed: list[PendingView]
    unclaimed: list[FrameRef]


def regions_of(config: Config) -> Regions:
    """The regions of the cameras that have some."""
    return {
        camera.name: [region.of_frame for region in camera.regions]
        for camera in config.cameras
        if camera.regions
    }


def make_triggering(config: Config, book: RecipeBook) -> Triggering:
    """The triggered cameras of a line as its configuration describes them."""
    triggers = config.triggers
    return Triggering(
        {c.name: make_matcher(triggers, c) for c in config.cameras if c.mode == "triggered"},
        Parts(triggers.max_open, int(triggers.id_memory_seconds * 1e9)),
        book,
        regions_of(config),
    )


def make_matcher(triggers: Triggers, camera: Camera) -> Matcher:
    """The matcher of a triggered camera."""
    window_ns, latency_ns = int(triggers.window_ms * 1e6), camera.latency_span_ns
    if triggers.match == "first_after":
        return FirstAfter(window_ns, latency_ns)
    # Half the ring: the other half is for frames that are being scored, and for the next ones.
    return Nearest(window_ns, int(triggers.before_ms * 1e6), latency_ns, history=camera.slots // 2)


class Triggering:
    """The triggered cameras of a line: their matchers, and the parts that are open."""

    def __init__(
        self, matchers: dict[str, Matcher], parts: Parts, book: RecipeBook, regions: Regions | None = None
    ) -> None:
        """Serve the cameras that `matchers` names.

        Args:
            matchers: one for each triggered camera.
            parts: the ledger of parts.
            book: the recipes that triggers may name, and the one in force, which the others get.
            regions: of cameras that have some.
        """
        self.parts = parts
        self._matchers = matchers
        self._book = book
        self._regions = regions or {}
        self._waiting: dict[int, list[PendingView]] = {}
        """What a camera has of a part, by the id of its first view: that one alone goes to its matcher."""

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
        refusal = refusal or self._refusal(request, keys, judged, is_up)
        refusal = refusal or self._changeover(trigger) or self._admission(trigger)
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
                region=region,
            )
            for (camera, region), key in keys.items()
            if key is not None
        ]
        part = Part(trigger, deadline_ns, views)
        self.parts.add(part)
        for camera in dict.fromkeys(view.camera for view in views):
            of_camera = [view for view in views if view.camera == camera]
            self._waiting[of_camera[0].inspection_id] = of_camera
            self._matchers[camera].expect(of_camera[0])
        return part

    def pass_by(self, trigger: Trigger, request: TriggerRequest | None = None) -> None:
        """Keep the frames of a part that no trigger opens from older triggers: it may be there all the same.

        Args:
            trigger: was refused, or may have come and is lost.
            request: names its cameras; None, or one that is not known: it may have been for any.
        """
        named = None if request is None else self._cameras_of(request)
        if named is None or not self._matchers.keys() >= set(named):
            named = list(self._matchers)  # its sender calls a camera by a wrong name: it may be any
        for camera in named:
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
        new = self._matchers[camera.name] = make_matcher(triggers, camera)
        new.triggers = old.triggers
        return True

    def hold_frame(self, frame: FrameRef) -> None:
        """Hand a frame to its camera's matcher; `settle` gives it back, with its view or without."""
        self._matchers[frame.camera].add_frame(frame)

    def lose_frame(self, camera: str, now_ns: int) -> None:
        """A camera lost a frame until now: no trigger it may have belonged to gets a later one."""
        if camera in self._matchers:
            self._matchers[camera].lose_frame(now_ns)

    def settle(self, now_ns: int, known_ns: int) -> SettledViews:
        """Return what is certain on any camera, given every trigger that came until `known_ns`."""
        return self._with_all_views(matcher.settle(now_ns, known_ns) for matcher in self._matchers.values())

    def give_up(self) -> SettledViews:
        """Return every view that waits as missed and every frame that is held as unclaimed."""
        return self._with_all_views(matcher.give_up() for matcher in self._matchers.values())

    def _with_all_views(self, of_cameras: Iterable[Settled]) -> SettledViews:
        """What became certain, with all views for which the one that went to a matcher stands."""
        settled = list(of_cameras)
        return SettledViews(
            [
                (self._waiting.pop(view.inspection_id), frame)
                for each in settled
                for view, frame in each.matched
            ],
            [
                missed
                for each in settled
                for view in each.missed
                for missed in self._waiting.pop(view.inspection_id)
            ],
            [frame for each in settled for frame in each.unclaimed],
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

    def _keys(self, request: TriggerRequest, cameras: list[str]) -> dict[_Look, str | None]:
        """What judges each view; None where no recipe of the name that the trigger gives is loaded."""
        keys: dict[_Look, str | None] = {}
        for camera in cameras:
            name = _recipe_named(request, camera)
            for region in self._regions.get(camera, (None,)):
                place = place_of(camera, None if region is None else region.name)
                if name is None:
                    keys[camera, region] = self._book.key_of_part(place)
                else:
                    keys[camera, region] = self._book.key_named(name, place)
        return keys

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
        keys: dict[_Look, str | None],
        judged: Container[str],
        is_up: Callable[[str], bool],
    ) -> tuple[RefusalReason, str] | None:
        for (camera, region), key in keys.items():
            if key is None:
                given = _recipe_named(request, camera)
                detail = f"no recipe {given!r}, expected one of: {', '.join(self._book.names)}"
                if region is not None and given in self._book.names:
                    detail = (
                        f"recipe {given!r} does not say what judges the regions of camera {camera}; name one "
                        "of the recipe store, or none"
                    )
                return RefusalReason.UNKNOWN_RECIPE, detail
        for (camera, _), key in keys.items():
            if not is_up(camera):
                return RefusalReason.NOT_READY, f"camera {camera} delivers no frames"
            if key not in judged:
                return RefusalReason.NOT_READY, f"scoring is not ready for recipe {key}"
        return None

    def _changeover(self, trigger: Trigger) -> tuple[RefusalReason, str] | None:
        """Refuse one that may have come before the recipe in force: the part may need the one of before.

        Nor does a name say which: it means the version that was in force last.
        """
        if trigger.came_ns >= self._book.in_force_since_ns:
            return None
        name = self._book.in_force.name
        detail = f"may have come before {name} was put in force: which recipe its part needs is not certain"
        return RefusalReason.NOT_READY, detail

    def _admission(self, trigger: Trigger) -> tuple[RefusalReason, str] | None:
        reason = self.parts.refusal(trigger.trigger_id, trigger.received_ns)
        if reason is RefusalReason.DUPLICATE_ID:
            return reason, f"trigger id {trigger.trigger_id!r} is open, or was closed recently"
        return (reason, f"{self.parts.open} triggers are open") if reason else None


def _recipe_named(request: TriggerRequest, camera: str) -> str | None:
    """The recipe that a trigger gives for a camera; None: it gives none."""
    return request.cameras[camera] if isinstance(request.cameras, dict) else request.recipe
