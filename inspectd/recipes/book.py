"""Which recipe judges what is in front of a camera: those that are loaded, and the one in force. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import msgspec

from inspectd.config import Config, KeyedRecipe, Recipe, settings_for
from inspectd.records import UNSET, CameraSettings, Exposure

FILE: Final = "file"
"""The id of the line recipe that the configuration file's recipes and cameras make.

Its version is 0 as the line starts, and counts up with each reload that changes recipes.
"""

_REMEMBERED_NS: Final = 10_000_000_000
"""A frame that was captured longer ago than this, and than every deadline, has missed its own."""
_MOST_GONE: Final = 1000
"""Keys of recipes that are gone whose sha256 is kept: far more than parts that can be under way need."""


class LineRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """What judges the parts of every camera of a line.

    Each of its judgements (bank, threshold, deadline) has a key, which names it from a frame to its verdict.
    A key belongs to one version for ever, so whatever was opened under it is judged by that version.

    Attributes:
        id: of the recipe.
        version: of the recipe, from 1; of the configuration file 0, or the number of the reload that read it.
        number: 1 to 999, for plant software without texts; None: of the configuration file.
        sha256: over all of it.
        places: the key of what judges each place: `CAMERA`, or `CAMERA/REGION` of a camera with regions.
        deadlines_ns: by key.
        recipes: the judgement of each key, as scoring loads it; its name is the key.
        banks: the bank's sha256 by key; none are known of the configuration file.
        camera_settings: what each camera is set to while it is in force, by camera.
    """

    id: str = FILE
    version: int = 0
    number: int | None = None
    sha256: str = ""
    places: dict[str, str]
    deadlines_ns: dict[str, int]
    recipes: tuple[KeyedRecipe, ...] = ()
    banks: dict[str, str] = {}
    camera_settings: dict[str, CameraSettings] = {}

    @property
    def name(self) -> str:
        """Id and version in one word, as people write it."""
        return self.id if self.is_file and not self.version else f"{self.id}@{self.version}"

    @property
    def is_file(self) -> bool:
        """Whether it is the configuration file's."""
        return self.id == FILE

    @property
    def keys(self) -> set[str]:
        """Of everything that has to be loaded for it."""
        return set(self.deadlines_ns)

    @property
    def titles(self) -> set[str]:
        """Names of the recipes that judge parts whose triggers name none."""
        return {title_of(key)[0] for key in self.places.values()}

    @property
    def names(self) -> list[str]:
        """Names by which a trigger may mean it: of the configuration file those of its recipes."""
        if self.is_file:
            return list(dict.fromkeys(title_of(key)[0] for key in self.deadlines_ns))
        return [self.id]

    def key_of(self, name: str, place: str) -> str | None:
        """The key that a trigger means by `name` for a place; None where it means another recipe.

        One of the configuration file is a single bank, so it cannot be meant for all regions of a camera.
        """
        if self.is_file:
            key = _key_of_file(name, self.version)
            return key if key in self.deadlines_ns and "/" not in place else None
        return self.places.get(place) if name == self.id else None


def of_file(config: Config, sha256: str = "", version: int = 0) -> LineRecipe:
    """The line recipe that the configuration file makes.

    Its keys are the names of its recipes; those of a later version are `NAME#VERSION`, all of them, so that a
    key never means anything else. No name has a `#` or an `@`.
    """
    return LineRecipe(
        version=version,
        sha256=sha256,
        places={
            place: _key_of_file(name, version)
            for camera in config.cameras
            for place, name in camera.places.items()
        },
        deadlines_ns={_key_of_file(name, version): ns for name, ns in config.deadlines_ns.items()},
        recipes=tuple(_keyed(each, _key_of_file(each.name, version)) for each in config.recipes),
        camera_settings={camera.name: settings_for(camera) for camera in config.cameras},
    )


def _key_of_file(name: str, version: int) -> str:
    return f"{name}#{version}" if version else name


def _keyed(recipe: Recipe, key: str) -> KeyedRecipe:
    return msgspec.convert({**msgspec.to_builtins(recipe), "name": key}, KeyedRecipe)


def title_of(key: str) -> tuple[str, int | None]:
    """The recipe's name and version that a key belongs to; the configuration file's have no version.

    How often the file was read says nothing after the next start, so it is no version for anybody else: what
    the file's recipes judge by is told apart by its sha256.
    """
    name, _, rest = key.partition("#")[0].partition("@")
    return name, int(rest.partition("/")[0]) if rest else None


class FrameKey(NamedTuple):
    """What judges a free-running camera's frame, or region."""

    key: str
    is_certain: bool
    """False: the recipe was changed while it may have been exposed."""


class RecipeBook:
    """The line recipes that scoring has loaded, and which of them is in force.

    Args:
        in_force: the one in force from the start.
    """

    def __init__(self, in_force: LineRecipe) -> None:
        self._loaded: list[LineRecipe] = [in_force]  # the least recently used first
        self._in_force = in_force
        self._sha256: dict[str, str] = {}  # also of keys that are gone: they never mean anything else
        self._before: deque[tuple[int, LineRecipe]] = deque()  # until when each was in force, oldest first
        self._meant: dict[str, int] = {}  # the version that an id alone means, where one was ever in force
        self._knows_all = True  # of an id that is not in `_meant` it is certain that none ever was
        self._holders: dict[str, str] = {}  # of a name the id of what was in force last of those that have it
        self.in_force_since_ns = 0
        """When the one in force was put in force; 0: the line began with it."""
        self.withheld: str | None = None
        """Name of one that is loaded, and that nobody gets who does not ask for this very version."""
        self._index()
        self.mean(in_force)
        self._hold_names(in_force)

    @property
    def in_force(self) -> LineRecipe:
        """The line recipe that judges parts which come now."""
        return self._in_force

    @property
    def loaded(self) -> list[LineRecipe]:
        """Those that can be put in force, the least recently used first."""
        return list(self._loaded)

    def find(self, recipe: str | int, version: int | None) -> LineRecipe | None:
        """A loaded one, by its id or number; without a version the one that was put in force last.

        Where that is not loaded it is none; where none ever was in force, the newest loaded. None also where
        nobody can know which is meant: what was in force last is not known, or several recipes have that
        number, as it was given anew in the store.
        """
        named = [each for each in self._loaded if recipe in {each.id, each.number}]
        found = [
            each
            for each in named
            if (self._may_be_meant(each) if version is None else version == each.version)
        ]
        is_known = len({each.id for each in named}) == 1
        return max(found, key=lambda each: each.version, default=None) if is_known else None

    def _may_be_meant(self, recipe: LineRecipe) -> bool:
        """Whether who names no version may get this one."""
        meant = self._meant.get(recipe.id)
        is_meant = self._knows_all or recipe.is_file if meant is None else meant == recipe.version
        return is_meant and recipe.name != self.withheld

    def remember(
        self, versions: Mapping[str, int], *, is_all: bool = True, names_of_file: Collection[str] = ()
    ) -> None:
        """What ids alone mean by what was put in force before this start; later changes count more.

        Args:
            versions: by id, of recipes of which a version was ever in force, what was in force last first;
                the configuration file among them where it was put in force again.
            is_all: there are no others; else nobody knows what another id means before it is told by `mean`.
            names_of_file: which its recipes have now.
        """
        is_of_file = False
        for id in versions:  # noqa: A001 - as of recipes
            is_of_file = is_of_file or id == FILE
            if id != FILE:
                self._holders.setdefault(id, id if not is_of_file or id not in names_of_file else FILE)
        of_store = {id: version for id, version in versions.items() if id != FILE}  # noqa: A001
        self._meant = {**of_store, **self._meant}
        self._knows_all = is_all

    def mean(self, recipe: LineRecipe) -> None:
        """Have an id alone mean this version from now on."""
        if not recipe.is_file:
            self._meant[recipe.id] = recipe.version

    def is_newest_meant(self, id: str) -> bool:  # noqa: A002 - as of recipes
        """Whether an id alone means the newest version, as none was ever in force."""
        return self._knows_all and id not in self._meant

    def _hold_names(self, recipe: LineRecipe) -> None:
        """Have its names mean it, and no other recipe that has one of them too."""
        self._holders |= dict.fromkeys(recipe.names, recipe.id)

    def use_file(self, file: LineRecipe) -> None:
        """The configuration file has these recipes now: names of others are free for the store's."""
        self._holders = {
            name: holder for name, holder in self._holders.items() if holder != FILE or name in file.names
        }

    def _holds(self, recipe: LineRecipe, name: str) -> bool:
        """Whether a trigger may mean it by a name; of two recipes that share one, the one in force last.

        So what a name means changes with what is put in force, and not with what else is loaded or leaves.
        Where it was never decided between two that are loaded, it means none.
        """
        if name not in recipe.names:
            return False
        rivals = {each.id for each in self._loaded if name in each.names}
        return self._holders.get(name, recipe.id if len(rivals) == 1 else None) == recipe.id

    # --- what judges ---------------------------------------------------------------------------------------

    def key_of_frame(self, place: str, exposed: Exposure) -> FrameKey:
        """What judges a free-running camera's frame, or region: what was in force when it was exposed.

        By the new recipe only where that was certainly after the switch. Where it may have been before or
        after, it is opened under the one of before, and nobody knows which part's it is.
        """
        for until_ns, recipe in self._before:
            if place in recipe.places and not exposed.is_after(until_ns):
                return FrameKey(recipe.places[place], exposed.is_up_to(until_ns))
        return FrameKey(self._in_force.places[place], is_certain=True)

    def key_of_part(self, place: str) -> str:
        """What judges a view of a part that comes now."""
        return self._in_force.places[place]

    def key_named(self, name: str, place: str) -> str | None:
        """What judges a view whose trigger names a recipe; None where none of that name is loaded, or meant.

        The one in force is meant before another version of the same recipe; else the one that `find` gives.
        Of a recipe of the store and one of the configuration file with the same name, it is the one that was
        in force last; None also where that is not loaded, or where it was never decided between the two.
        """
        key = self._in_force.key_of(name, place)
        if key is not None:
            return key
        for recipe in sorted(self._loaded, key=lambda each: -each.version):
            is_meant = self._holds(recipe, name) and self._may_be_meant(recipe)
            key = recipe.key_of(name, place) if is_meant else None
            if key is not None:
                self._used(recipe)
                return key
        return None

    @property
    def names(self) -> list[str]:
        """Names that a trigger may give."""
        names: dict[str, None] = {}
        for recipe in (self._in_force, *filter(self._may_be_meant, reversed(self._loaded))):
            names |= dict.fromkeys(name for name in recipe.names if self._holds(recipe, name))
        return list(names)

    def deadline_ns(self, key: str) -> int:
        """Time from capture, or trigger, to verdict."""
        return self._deadlines_ns[key]

    def camera_settings(self, key: str, camera: str) -> CameraSettings:
        """What a camera has to be set to for a frame that a key judges."""
        return self._camera_settings[key].get(camera, UNSET)

    def recipe(self, key: str) -> KeyedRecipe:
        """The judgement that a key names, of a recipe that is loaded or was until now.

        One of the configuration file has the name that it has there: its sha256 is the same after a reload
        that leaves it as it is, and after a restart.
        """
        return self._recipes[key]

    def is_loaded(self, key: str) -> bool:
        """Whether a key belongs to a recipe that is loaded, or was in force until a moment ago."""
        return key in self._deadlines_ns

    def sha256_of(self, key: str) -> str | None:
        """The sha256 of the version of the recipe store that a key belongs to, also once that is removed.

        Parts that it judges may still be under way then, and are held by what this version has shown.
        """
        return self._sha256.get(key)

    # --- what changes --------------------------------------------------------------------------------------

    def put_in_force(self, recipe: LineRecipe, now_ns: int) -> None:
        """Judge by a loaded recipe whatever is captured, or triggered, from now on."""
        longest_ns = max(_REMEMBERED_NS, *self._deadlines_ns.values())
        while self._before and self._before[0][0] < now_ns - longest_ns:
            self._before.popleft()
        self._before.append((now_ns, self._in_force))
        self.in_force_since_ns = now_ns
        self._in_force = recipe
        self.mean(recipe)
        self._hold_names(recipe)
        self._used(recipe)
        self._index()

    def add(self, recipe: LineRecipe) -> None:
        """A recipe is loaded and warm, and counts as just used; the one in force stays."""
        self._used(recipe)
        self._index()

    def remove(self, recipe: LineRecipe) -> None:
        """A recipe cannot be put in force or named any more; the one in force cannot be removed.

        Raises:
            ValueError: it is in force.
        """
        if recipe.name == self._in_force.name:
            raise ValueError(f"{recipe.name} is in force")
        self._loaded = [each for each in self._loaded if each.name != recipe.name]
        self._index()

    def _used(self, recipe: LineRecipe) -> None:
        """Put it behind all others but the one in force, which is always in use."""
        others = [each for each in self._loaded if each.name not in {recipe.name, self._in_force.name}]
        last = [self._in_force] if recipe.name != self._in_force.name else []
        self._loaded = [*others, recipe, *last]

    def _index(self) -> None:
        """Deadlines and judgements by key, those of recipes that were in force a moment ago among them."""
        there = [*(recipe for _, recipe in self._before), *self._loaded]
        self._deadlines_ns = {key: ns for each in there for key, ns in each.deadlines_ns.items()}
        self._camera_settings = {key: each.camera_settings for each in there for key in each.deadlines_ns}
        here = {key: each.sha256 for each in there for key in each.deadlines_ns}
        gone = [(key, sha256) for key, sha256 in self._sha256.items() if key not in here]
        self._sha256 = dict(gone[-_MOST_GONE:]) | here
        self._recipes = {
            recipe.name: _keyed(recipe, title_of(recipe.name)[0]) if each.is_file else recipe
            for each in there
            for recipe in each.recipes
        }
