"""A line's recipes on the disk: the store, and the audit file, which says which one is in force."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from inspectd.config import Config, KeyedRecipe, settings_by_camera, settings_for
from inspectd.errors import InputError, UnavailableError
from inspectd.files import OwnFile
from inspectd.recipes.audit import (
    FILE_NAME,
    AuditAction,
    AuditDamageError,
    AuditEntry,
    InForce,
    append_record,
    format_in_force,
    in_force,
    is_take_back,
    last_change,
    mark_path,
    newest_first,
    open_once_free,
    parse_in_force,
    puts_in_force,
    read_mark,
    record_in_force,
    shadowed,
)
from inspectd.recipes.book import FILE, LineRecipe, of_file
from inspectd.recipes.meaning import MeantVersions
from inspectd.recipes.reading import RecipeReader
from inspectd.recipes.version import RecipeVersion
from inspectd.records import UNSET, CameraSettings
from inspectd.wire.recipes import AT_START, LATE

RECORD_NS: Final = 2_000_000_000
"""A change that is not in the audit file by then is taken back."""
_TAKEN_BACK_BY: Final = "inspectd"
_TAKEN_BACK: Final = "the record took longer"
"""Who takes it back, and how the reason begins: for people, as any client may say so. The door tells it."""


class RecipeNotFoundError(InputError):
    """The store has no such recipe, or no such version."""


class NotBeforeError(InputError):
    """A rollback leads elsewhere than to what was in force before the last change."""


class WentBackError(NotBeforeError):
    """The last change was a rollback itself, and none follows another."""


class NotStoredError(InputError):
    """What is loaded under a name is not what the store holds under it, or the line's file says now."""


class Change(NamedTuple):
    """A change of what is in force.

    Attributes:
        action: `activate`, `rollback`, `promote`, `shadow` or `reload`.
        who: asked for it.
        door: `local`, `tcp`, `signal`, or `command` where no line runs; `late` of one that is taken back.
        why: that person's reason.
    """

    action: AuditAction
    who: str
    door: str
    why: str


class RecipeRecords:
    """What a line reads of its store, and writes into its audit file. Every call may wait for the disk.

    Args:
        config: the line's.
        state: its state directory; None: that of `config`.
        own: the audit file of a line that runs, which writes into no other one; None: none runs.
    """

    def __init__(self, config: Config, state: Path | None = None, own: OwnFile | None = None) -> None:
        state = config.state_path if state is None else state
        self.store = RecipeReader(state / "recipes")
        self._audit = state / FILE_NAME
        self.meant = MeantVersions(self.store, self._audit)
        self._own = own
        self._config = config
        self._file = of_file(config, sha256_of_file(config))
        self._agreed: object = None
        """What the audit file and its mark were like, and what judged, when they agreed last."""

    @property
    def file(self) -> LineRecipe:
        """What the configuration file made when it was read last."""
        return self._file

    def use_file(self, config: Config, recipe: LineRecipe) -> None:
        """The configuration file was read again, and `recipe` is what it makes now; waits for nothing."""
        self._config = config
        self._file = recipe

    def in_force(self) -> LineRecipe:
        """The line recipe that was put in force last; the configuration file's where none ever was.

        Raises:
            InputError: it is damaged, gone, does not fit the line, or nobody can know which it is.
            UnavailableError: the disk cannot be read now.
        """
        found = in_force(self._audit)
        if found is None or found.is_file:
            return self._file
        name = f"{found.id}@{found.version}"
        try:
            # To the last byte: scoring would find a damaged bank too, and not know what to do about it.
            recipe = self._line_recipe(self.store.read_whole(found.id, found.version))
        except InputError as error:
            raise InputError(
                f"recipe {name} is in force by {self._audit}, and cannot be used: {error}; restore it from "
                "a copy, or put another one in force: inspectd recipe activate"
            ) from error
        if recipe.sha256 != found.sha256:
            raise InputError(
                f"recipe {name} in {self.store.folder(found.id, found.version)} is another one than was put "
                f"in force: its sha256 is {recipe.sha256[:12]}..., {self._audit} says "
                f"{found.sha256[:12]}...; restore it from a copy, or put another one in force: inspectd "
                "recipe activate"
            )
        return recipe

    def read(self, recipe: str | int, version: int | None, *, is_newest_meant: bool = False) -> LineRecipe:
        """A version of a recipe, by its id or number.

        Args:
            recipe: its id or number.
            version: of it; None: the one that `MeantVersions` says.
            is_newest_meant: without a version it is the newest all the same.

        Raises:
            RecipeNotFoundError: there is none, or nobody can know which version is meant.
            InputError: it is damaged, or does not fit the line's cameras.
            UnavailableError: the store cannot be read.
        """
        if recipe == FILE:
            return self._file
        is_newest = is_newest_meant or version is not None
        version_of = self.store.newest if is_newest else self.meant.version_of
        try:
            recipe_id = self.store.by_number(recipe, version_of) if isinstance(recipe, int) else recipe
            found = version_of(recipe_id) if version is None else version
            known = self.store.versions(recipe_id)
        except InputError as error:
            raise RecipeNotFoundError(str(error)) from error
        if found not in known:
            versions = f"version{'s' * (len(known) > 1)} {', '.join(map(str, known[-20:]))}"
            there = f"has {recipe_id} in {versions}" if known else f"has no recipe {recipe_id!r}"
            raise RecipeNotFoundError(f"the store {there}, got version {found}")
        return self._line_recipe(self.store.read(recipe_id, found))

    def change(self, change: Change, old: LineRecipe, new: LineRecipe, is_wanted: Callable[[], bool]) -> None:
        """As `record`, for a line that runs: only where the file says that `old`, which judges, is in force.

        Another file, as where the disk is no longer there, would not be the one that the next start reads.
        A rollback takes the last change back, and puts nothing else in force. What the store does not hold is
        put in force by nobody: the next start could not judge by it.

        Raises:
            NotBeforeError: a rollback to something else.
            NotStoredError: the store does not hold `new`, or another one under its name; or the configuration
                file says something else since it was read again.
            InputError: it says something else, or was altered.
            UnavailableError: as `record`.
        """
        with self._writing():  # or what follows of another file would be told
            self._refuse_other(in_force(self._audit), old)
            if change.action is AuditAction.ROLLBACK:
                self._refuse_other_way_back(new)
            self._refuse_not_stored(new)
            self.record(change, old, new, is_wanted)

    def confirm(self, change: Change, judging: LineRecipe) -> None:
        """Have the file say what is in force, `judging` by which a running line judges, if that was lost.

        Raises:
            InputError: it says that something else is.
            UnavailableError: as `record`.
        """
        try:
            found = in_force(self._audit)
        except InputError:  # this is how to get out of that
            self.record(change, None, judging)
        else:
            self._refuse_other(found, judging)

    def refuse_contradiction(self, judging: LineRecipe) -> None:
        """Refuse a file that says that something else is in force than `judging`, by which a line judges.

        What was read last is read again only where the file, or its mark, is another one since.

        Raises:
            InputError: it says something else, or was altered; or the line judges by what its configuration
                file said before that was read again.
            UnavailableError: it cannot be read now.
            OSError: it cannot be looked at.
        """
        self._refuse_file_of_before(judging)
        stamps = tuple(_stamp(path) for path in (self._audit, mark_path(self._audit)))
        if (stamps, judging.name) != self._agreed:
            self._refuse_other(in_force(self._audit), judging)
            self._agreed = stamps, judging.name

    def _refuse_other(self, found: InForce | None, judging: LineRecipe) -> None:
        said = FILE if found is None or found.is_file else format_in_force(found)
        if said != (FILE if judging.id == FILE else _words(judging)):
            raise InputError(
                f"{self._audit}: says that {said} is in force, and the line judges by {judging.name}; was it "
                "replaced, or is its disk away? Put it back, or restart the line to judge by what it says"
            )

    def _refuse_file_of_before(self, recipe: LineRecipe) -> None:
        """Refuse what the configuration file made before it was read again: no next start judges by it."""
        file = self._file
        if recipe.is_file and (recipe.version, recipe.sha256) != (file.version, file.sha256):
            raise NotStoredError(
                f"{recipe.name} with sha256 {recipe.sha256[:12]}... is what the configuration file said "
                f"before it was read again, expected {file.name} with {file.sha256[:12]}..., as it says now; "
                "prepare file again, and activate that"
            )

    def _refuse_not_stored(self, wanted: LineRecipe) -> None:
        self._refuse_file_of_before(wanted)
        if wanted.is_file:
            return
        what = f"{wanted.name} is loaded with sha256 {wanted.sha256[:12]}..., and the store"
        try:
            found = self.store.read(wanted.id, wanted.version)
        except InputError as error:
            raise NotStoredError(f"{what} does not hold it: {error}") from error
        if found.sha256 != wanted.sha256:
            raise NotStoredError(
                f"{what} has another one under that name, {found.sha256[:12]}...; import it as a new version"
            )

    def _refuse_other_way_back(self, wanted: LineRecipe) -> None:
        before = recipe_before(self._audit)
        # Of the configuration file that is what it says now, however often it was read again.
        is_that = wanted.is_file if before.is_file else format_in_force(before) == _words(wanted)
        if not is_that:
            name = FILE if before.is_file else f"{before.id}@{before.version}"
            raise NotBeforeError(
                f"{wanted.name} is not what was in force before the last change: that was {name}, and a "
                "rollback leads nowhere else; look again, or activate the recipe that you mean"
            )

    def record(
        self,
        change: Change,
        old: LineRecipe | None,
        new: LineRecipe,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Record that `new` is in force instead of `old`; where that takes too long, it is taken back.

        Until it counts `old` is in force, whatever ends this process.

        Args:
            change: who changed it, how, and why.
            old: what judged before; None: nobody knows, and nothing is taken back.
            new: what judges from now on.
            is_wanted: asked once, when the record is on the disk; from then on it is.

        Raises:
            InputError: the audit file was altered.
            UnavailableError: it cannot be written, or was not in time; then `old` is in force by it. Or it is
                not the file of the line that runs, and nothing was written.
        """
        self._settle_pending()
        until_ns = time.monotonic_ns() + RECORD_NS
        was_wanted = True

        def is_in_time() -> bool:
            nonlocal was_wanted
            was_wanted = old is None or (time.monotonic_ns() <= until_ns and is_wanted())
            return was_wanted

        self._append(change, old, new, is_in_time)
        if change.action is AuditAction.RELOAD:
            is_in_time()
        elif was_wanted:
            self.meant.note(_as_recorded(new))
        if not was_wanted:
            why = f"{_TAKEN_BACK} than {RECORD_NS / 1e9:g} s"
            # A reload says nothing of what the next start judges by, so its end must not either.
            action = change.action if change.action is AuditAction.RELOAD else AuditAction.ROLLBACK
            self._append(Change(action, _TAKEN_BACK_BY, LATE, why), new, old)
            raise UnavailableError(f"{self._audit}: not written within {RECORD_NS / 1e9:g} s; taken back")

    def settle(self) -> None:
        """At a start: record that what the last run recorded and told nobody is not in force.

        Where nothing is noted beside the audit file, as after a restore, or another version has put something
        in force since, note which record counts.

        Raises:
            InputError: the audit file was altered.
            UnavailableError: it cannot be read or written, or another process has it for longer than 1 s, or
                it is not the file of the line that runs.
        """
        if not self._audit.exists():
            return
        with self._writing():
            self._settle()

    def _settle(self) -> None:
        with closing(open_once_free(self._audit)) as log:
            newest = next((record for record in newest_first(self._audit) if puts_in_force(record)), None)
            counts = record_in_force(self._audit)
            if newest is None or newest == counts or is_take_back(newest):
                log.note(newest)
                return
            log.append(
                AuditAction.ROLLBACK, who=_TAKEN_BACK_BY, door=AT_START, object=newest.object, old=newest.new,
                new=counts.new if counts is not None else _words(self._file),
                why=f"{_TAKEN_BACK} than the line that asked for it ran",
            )  # fmt: skip

    def record_shadow(self, change: Change, old: LineRecipe | None, new: LineRecipe | None) -> None:
        """Record that `new` scores without a vote from now on, instead of `old`; None: none does.

        Raises:
            InputError: the audit file was altered.
            UnavailableError: it cannot be written, or is not the file of the line that runs.
        """
        self._append(change, old, new)

    def shadow(self) -> LineRecipe | None:
        """The recipe that scored without a vote when the line ended; None: none did.

        Raises:
            InputError: it is damaged, gone, or does not fit the line.
            UnavailableError: the disk cannot be read now.
        """
        found = shadowed(self._audit)
        return None if found is None else self.read(found.id, found.version)

    def _settle_pending(self) -> None:
        """Take back what an earlier change has left, before another one comes."""
        try:
            mark = read_mark(self._audit)
        except InputError:
            return  # whoever says what is in force gets out of that
        if mark is not None and mark.pending:
            self.settle()

    def _append(
        self,
        change: Change,
        old: LineRecipe | None,
        new: LineRecipe | None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        named = old if new is None else new
        entry = AuditEntry(
            change.action, change.who, change.door, None if named is None else named.id,
            _words(old), _words(new), change.why,
        )  # fmt: skip
        with self._writing():
            append_record(self._audit, entry, is_wanted=is_wanted)

    def _writing(self) -> AbstractContextManager[None]:
        """What a running line writes goes into the file of its start; a command's into what is there."""
        return nullcontext() if self._own is None else self._own.writing()

    def _line_recipe(self, recipe: RecipeVersion) -> LineRecipe:
        """What a version makes of this line.

        Raises:
            InputError: it leaves out one of the line's cameras, or sets one to what it cannot be set to.
        """
        places = [place for camera in self._config.cameras for place in camera.places]
        missing = [name for name in places if name not in recipe.cameras]
        if missing:
            raise InputError(
                f"recipe {recipe}: does not say what judges {', '.join(missing)}, expected all cameras of "
                f"the line, each region as CAMERA/REGION: {', '.join(places)}; import a version that does"
            )
        return line_recipe(recipe, self.store.folder(recipe.id, recipe.version), self._config)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def recipe_before(audit: Path) -> InForce:
    """What was in force before the last change: where a rollback leads.

    One after another leads nowhere: before the last change was then what somebody has just gone back from.

    Raises:
        NotBeforeError: nothing was changed yet, or nobody knew what was in force before.
        WentBackError: the last change was a rollback itself.
        InputError: the audit file was altered.
        UnavailableError: it cannot be read now.
    """
    try:
        last = last_change(audit)
    except AuditDamageError as error:
        in_force(audit)  # or what helps is more than a rollback
        raise InputError(
            f"{error}, or say which it is to be: inspectd recipe activate ID@VERSION (or file)"
        ) from error
    if last is None:
        in_force(audit)  # where the file was lost, that is what has to be said
        raise NotBeforeError(f"{audit}: no recipe was put in force yet, so there is none to go back to")
    if last.old is None:
        raise NotBeforeError(
            f"{audit}: record {last.seq} was made where nobody knew what was in force before; say "
            "which it is to be: inspectd recipe activate ID@VERSION (or file)"
        )
    before = parse_in_force(last.old, f"{audit}, record {last.seq}: ")
    if last.action is AuditAction.ROLLBACK:
        name = FILE if before.is_file else f"{before.id}@{before.version}"
        raise WentBackError(
            f"{audit}: the last change, record {last.seq} by {last.who}, was itself a rollback, from {name}: "
            f"another one would put {name} in force again; say which it is to be: inspectd recipe activate "
            "ID@VERSION (or file)"
        )
    return before


def line_recipe(recipe: RecipeVersion, folder: Path, config: Config) -> LineRecipe:
    """The line recipe that a version makes; cameras, or regions, that are judged alike have one key.

    Args:
        recipe: the version.
        folder: where its banks lie.
        config: names the cameras, and has the deadline and camera settings where the version has none.

    Raises:
        InputError: it sets a camera to what that cannot be set to, or its regions to different things.
    """
    keys: dict[bytes, str] = {}
    places, deadlines_ns, banks, recipes = {}, {}, {}, []
    try:
        camera_settings = settings_by_camera(config.cameras, recipe.cameras)
    except InputError as error:
        raise InputError(f"recipe {recipe} does not fit the line: {error}") from error
    for place in (place for camera in config.cameras for place in camera.places):
        judged = recipe.cameras[place]
        settings = msgspec.structs.asdict(judged)
        for name in CameraSettings.__struct_fields__:
            del settings[name]  # they belong to the camera, and what scoring loads is the same without
        alike = msgspec.json.encode(settings, order="sorted")
        key = keys.setdefault(alike, f"{recipe}/{place}" if keys else str(recipe))
        places[place] = key
        if key in banks:
            continue
        banks[key] = settings.pop("bank_sha256")
        deadlines_ns[key] = int((judged.deadline_ms or config.line.deadline_ms) * 1e6)
        recipes.append(KeyedRecipe(**{**settings, "name": key, "bank": str(folder / judged.bank)}))
    return LineRecipe(
        id=recipe.id, version=recipe.version, number=recipe.number, sha256=recipe.sha256,
        places=places, deadlines_ns=deadlines_ns, recipes=tuple(recipes), banks=banks,
        camera_settings=camera_settings,
    )  # fmt: skip


def sha256_of_file(config: Config) -> str:
    """SHA-256 of the file's recipes, what they judge and what cameras are set to; not of their banks."""
    judged = {place: recipe for camera in config.cameras for place, recipe in camera.places.items()}
    camera_settings = {camera.name: settings_for(camera) for camera in config.cameras}
    said = [config.recipes, judged]
    if any(settings != UNSET for settings in camera_settings.values()):
        said.append(camera_settings)  # a line without them keeps the digest it had before there were any
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _words(recipe: LineRecipe | None) -> str | None:
    return None if recipe is None else format_in_force(_as_recorded(recipe))


def _as_recorded(recipe: LineRecipe) -> InForce:
    """As records have it; the next start reads the file as it is then, so for records it has one version."""
    return InForce(recipe.id, 0 if recipe.is_file else recipe.version, recipe.sha256)
