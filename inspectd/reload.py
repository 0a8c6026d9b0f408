"""Reads the configuration file again on SIGHUP, and takes up what changed of recipes and cameras.

A reload goes through these steps; whatever goes wrong before the last one leaves all as it was:

    the file and its banks are read and judged whole, by the disk clerk
    changed recipes are loaded beside what runs, as for any changeover
    the change is recorded in the audit file
    the recipes are in force, by one assignment; then the changed cameras start anew, and no others
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.camera_changes import CameraChanges
from inspectd.changeover import Changeover
from inspectd.config import Camera, Config, ConfigChange, compare
from inspectd.errors import ConfigError, InspectdError
from inspectd.golden_pictures import Files
from inspectd.metrics import Metrics
from inspectd.notify import Notifier
from inspectd.recipes.book import FILE, LineRecipe, RecipeBook, of_file
from inspectd.recipes.clerk import DiskClerk
from inspectd.recipes.line_file import FileContent, FileStamp, camera_stamps_of, read_line_file, stamps_of
from inspectd.recipes.stored import RecipeRecords, sha256_of_file
from inspectd.records import ReloadResult
from inspectd.wire import LineState, RecipeAck, RecipeRefusal, RecipeState

_READ_NS: Final = 10_000_000_000
"""A file that the disk has not given by then is not waited for."""
_MAX_DETAIL_CHARACTERS: Final = 4000
_MAX_WHY_CHARACTERS: Final = 200


class ReloadedLine(Protocol):
    """The line whose file is read again."""

    state: LineState
    """As heartbeats give it."""

    def on_banks_changed(self) -> None:
        """Other recipes are loaded than before."""

    def on_cameras_changed(self, cameras: Sequence[Camera], files: Files) -> None:
        """These cameras begin to make their pictures otherwise, `files` among them."""


class _Plan(msgspec.Struct, frozen=True):
    """What a reload is to do."""

    content: FileContent
    change: ConfigChange
    old: LineRecipe
    new: LineRecipe
    """The same as `old` where no recipe changes."""

    @property
    def summary(self) -> str:
        """What changes, in words."""
        cameras = [f"camera {camera.name}" for camera in self.change.cameras]
        return "; ".join([*self.change.recipes, *cameras])


class Reload:
    """Answers SIGHUP. One after the other: what comes during a reload is one more after it.

    Args:
        file: that the line was started from; None: from none.
        config: what it said then.
        book: what is loaded and in force.
        records: the audit file, and what the file's recipes are.
        clerk: asks the disk.
        changeover: loads recipes and puts them in force.
        cameras: gives cameras new settings.
        line: whose file it is.
        notifier: tells the service manager.
        metrics: counts.
        emit: publishes events.
    """

    def __init__(
        self,
        file: Path | None,
        config: Config,
        *,
        book: RecipeBook,
        records: RecipeRecords,
        clerk: DiskClerk,
        changeover: Changeover,
        cameras: CameraChanges,
        line: ReloadedLine,
        notifier: Notifier,
        metrics: Metrics,
        emit: EmitEvent,
    ) -> None:
        self._file = None if file is None else file.absolute()
        self._config = config
        self._banks: dict[str, FileStamp | None] = stamps_of(config.recipes)
        self._camera_files = camera_stamps_of(config.cameras)
        self._book = book
        self._records = records
        self._clerk = clerk
        self._changeover = changeover
        self._cameras = cameras
        self._line = line
        self._notifier = notifier
        self._metrics = metrics
        self._emit = emit
        self._version = 0
        self._readings = 0
        self._is_asked = False
        self._go_on: Callable[[int], None] | None = None
        """What to look at in the next turn; None: no reload is under way."""
        self._replaced: LineRecipe | None = None
        """What the file's new recipes are loaded beside; where there is no room for both it has to leave."""

    def ask(self) -> None:
        """Somebody wants the file read again."""
        if self._line.state != LineState.RUNNING:
            self._metrics.reload(ReloadResult.IGNORED)
            detail = f"the line is {self._line.state}; the next start reads the file"
            self._emit("warning", "reload_ignored", detail=detail)
        else:
            self._is_asked = True

    def turn(self, now_ns: int) -> None:
        """Begin what was asked for, or go on with it; a line that stops goes on with nothing."""
        if self._line.state != LineState.RUNNING:
            return
        if self._go_on is None and self._is_asked:
            self._is_asked = False
            self._begin(now_ns)
        if self._go_on is not None:
            self._go_on(now_ns)

    # --- the file ------------------------------------------------------------------------------------------

    def _begin(self, now_ns: int) -> None:
        self._notifier.reloading()
        if self._file is None:
            self._refuse("the line was not started from a file")
            return
        self._readings += 1
        self._go_on = partial(self._await_file, now_ns + _READ_NS)
        self._clerk.ask(
            partial(read_line_file, self._file),
            partial(self._on_read, self._readings),
            partial(self._on_unread, self._readings),
        )

    def _await_file(self, until_ns: int, now_ns: int) -> None:
        if now_ns > until_ns:
            self._readings += 1  # what still comes is nobody's
            self._refuse(f"the file was not read within {_READ_NS / 1e9:g} s: the disk does not answer")

    def _on_unread(self, reading: int, error: InspectdError) -> None:
        if self._is_over(reading):
            return
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        self._refuse(_listed(problems))

    def _on_read(self, reading: int, content: FileContent) -> None:
        if self._is_over(reading):
            return
        change = compare(self._config, content.config)
        if change.restart:
            self._refuse(_listed(change.restart))
            return
        replaced = [
            f"recipe {name}: bank file replaced"
            for name, stamp in content.banks.items()
            if name in self._banks and self._banks[name] != stamp
        ]
        change = msgspec.structs.replace(
            change,
            recipes=(*change.recipes, *replaced),
            cameras=(*change.cameras, *self._with_other_files(change, content)),
        )
        old = new = self._records.file
        if change.recipes:
            self._version += 1  # also where it is refused later: its keys were known to scoring then
            new = of_file(content.config, sha256_of_file(content.config), self._version)
        plan = _Plan(content, change, old, new)
        if new is old and not change.cameras:
            self._end(ReloadResult.UNCHANGED, "nothing changed")
        elif new is not old and self._is_loaded(old):
            self._go_on = partial(self._prepare, plan)
        else:
            self._go_on = partial(self._record, plan)

    def _with_other_files(self, change: ConfigChange, content: FileContent) -> Iterator[Camera]:
        """Cameras whose settings are as they were, but not the files that their pictures are made by."""
        found_by_cameras = self._cameras.with_changed_files()
        for camera in content.config.cameras:
            is_other = self._camera_files[camera.name] != content.camera_files[camera.name]
            if camera not in change.cameras and (is_other or camera.name in found_by_cameras):
                yield camera

    def _is_over(self, reading: int) -> bool:
        """Whether nobody waits for this reading any more."""
        return reading != self._readings or self._line.state != LineState.RUNNING

    # --- the recipes ---------------------------------------------------------------------------------------

    def _prepare(self, plan: _Plan, _: int) -> None:
        """Load the new recipes, once nobody else's are being loaded."""
        if not self._changeover.is_preparing:
            self._replaced = plan.old
            self._book.withheld = plan.new.name  # until it is recorded nothing may be judged by it
            self._go_on = partial(self._await_prepared, plan)
            self._changeover.prepare_reloaded(plan.new, self._on_prepare_answered)

    def _on_prepare_answered(self, answer: RecipeAck | RecipeRefusal) -> None:
        if isinstance(answer, RecipeRefusal):
            self._refuse(f"the recipes cannot be loaded: {answer.reason}: {answer.detail}")

    def _await_prepared(self, plan: _Plan, now_ns: int) -> None:
        state = self._changeover.state_of(plan.new)
        if state is RecipeState.UNLOADED:
            self._refuse(f"the recipes cannot be loaded: {self._changeover.last_failure}")
        elif state is not RecipeState.LOADING:
            self._record(plan, now_ns)

    def _record(self, plan: _Plan, _: int) -> None:
        """Record the change, once nobody else's is being recorded."""
        if self._changeover.is_recording:
            self._go_on = partial(self._record, plan)
        elif plan.new is not plan.old and self._is_loaded(plan.old) and not self._is_loaded(plan.new):
            self._refuse("the recipes had to leave for others that were prepared meanwhile")
        else:
            self._go_on = _wait
            why = plan.summary[:_MAX_WHY_CHARACTERS]
            answered = partial(self._on_recorded, plan)
            self._changeover.put_reloaded_in_force(plan.old, plan.new, why, answered)

    def _on_recorded(self, plan: _Plan, answer: RecipeAck | RecipeRefusal) -> None:
        if isinstance(answer, RecipeRefusal):
            self._forget(plan.new, plan.old)
            self._refuse(f"{answer.reason}: {answer.detail}")
            return
        self._book.withheld = None
        self._config, self._banks = plan.content.config, plan.content.banks
        self._camera_files = plan.content.camera_files
        self._changeover.use_file(plan.content.config, plan.new)
        self._forget(plan.old, plan.new)
        is_judged_anew = plan.new is not plan.old and self._book.in_force.name == plan.new.name
        self._cameras.begin(plan.change.cameras, self._book.in_force_since_ns if is_judged_anew else None)
        self._line.on_cameras_changed(plan.change.cameras, plan.content.camera_files)
        self._go_on = partial(self._await_cameras, plan)

    def _is_loaded(self, recipe: LineRecipe) -> bool:
        return self._book.find(FILE, recipe.version) is not None

    def _forget(self, recipe: LineRecipe, other: LineRecipe) -> None:
        """Have a version of the file's recipes no more: only one of them can be what the file says."""
        is_in_force = self._book.in_force.name == recipe.name
        if recipe is not other and self._is_loaded(recipe) and not is_in_force:
            self._book.remove(recipe)
            self._line.on_banks_changed()

    # --- the cameras, and the end --------------------------------------------------------------------------

    def _await_cameras(self, plan: _Plan, now_ns: int) -> None:
        if self._cameras.turn(now_ns):
            is_kept = plan.new is not plan.old and self._book.in_force.name != plan.new.name
            beside = f"; {self._book.in_force.name} of the recipe store stays in force" if is_kept else ""
            self._end(ReloadResult.DONE, f"{plan.summary}{beside}")

    def _refuse(self, detail: str) -> None:
        self._go_on = None
        self._book.withheld = None
        self._metrics.reload(ReloadResult.REFUSED)
        self._emit("alarm", "reload_refused", detail=f"nothing is changed{self._left()}: {detail}")
        self._tell_ready()

    def _left(self) -> str:
        """What is not as it was, where a reload is refused after all."""
        old, self._replaced = self._replaced, None
        if old is None or self._is_loaded(old):
            return ""
        return f", but {old.name} had to leave and is no longer prepared (prepare file again)"

    def _end(self, result: ReloadResult, detail: str) -> None:
        self._go_on = self._replaced = None
        self._metrics.reload(result)
        self._emit("info", "reloaded", detail=detail[:_MAX_DETAIL_CHARACTERS])
        self._tell_ready()

    def _tell_ready(self) -> None:
        if self._line.state == LineState.RUNNING:  # a stop may have begun meanwhile
            self._notifier.ready()


def _wait(_: int) -> None:
    """The answer comes by itself."""


def _listed(problems: tuple[str, ...] | list[str]) -> str:
    """All problems in one line; of very many those that find room, and how many do not."""
    shown: list[str] = []
    room = _MAX_DETAIL_CHARACTERS
    for problem in problems:
        room -= len(problem) + 2
        if room < 0 and shown:
            return "; ".join([*shown, f"and {len(problems) - len(shown)} more (inspectd check lists all)"])
        shown.append(problem)
    return "; ".join(shown)
