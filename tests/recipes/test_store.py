"""The store of recipes: versions that are whole, never change and never take each other's place."""

from __future__ import annotations

import fcntl
import os
import stat
from itertools import pairwise, product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.disks import needs_root, tmpfs
from support.recipes import content, draft, tree

from inspectd import __version__
from inspectd.errors import InputError, UnavailableError
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe, FileDigest, RecipeVersion, decode, encode, sealed

NOW_NS = 1_764_000_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> RecipeStore:
    return RecipeStore(tmp_path / "recipes", clock_ns=lambda: NOW_NS)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return tmp_path / "sources"


def test_a_store_that_is_not_there_is_empty(store):
    assert store.ids() == store.versions("cells") == store.listing() == []
    with pytest.raises(
        InputError, match="has no recipe 'cells', nor any other; `inspectd recipe import` makes one"
    ):
        store.newest("cells")


def test_what_was_added_is_read_again(store, sources, tmp_path):
    added = store.add(draft(sources))
    assert store.read("cells", 1) == store.verify("cells", 1) == added
    assert (added.created_utc_ns, added.software, added.who) == (NOW_NS, __version__, "anna")
    assert (store.ids(), store.versions("cells"), store.newest("cells")) == (["cells"], [1], 1)
    folder = store.folder("cells", 1)
    assert sorted(tree(folder)) == [
        "banks",
        "banks/cam1.safetensors",
        "banks/cam2.safetensors",
        "recipe.json",
    ]
    assert all(mode & 0o222 == 0 for mode, _ in tree(folder).values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o555
    assert [path.name for path in (tmp_path / "recipes").iterdir()] == ["cells"]


def test_each_version_is_one_more_and_leaves_the_others_as_they_are(store, sources, tmp_path):
    store.add(draft(sources))
    before = tree(tmp_path / "recipes" / "cells" / "1")
    second = store.add(draft(sources, why="warmer light", parent=1))
    assert (second.version, second.parent, str(second)) == (2, 1, "cells@2")
    assert tree(tmp_path / "recipes" / "cells" / "1") == before
    assert [str(each.recipe) for each in store.listing()] == ["cells@1", "cells@2"]
    with pytest.raises(InputError, match="cells@3: got parent 7, expected a version of cells or none"):
        store.add(draft(sources, parent=7))


def test_a_number_names_one_recipe_by_its_newest_version(store, sources):
    store.add(draft(sources))
    store.add(draft(sources, number=13))
    store.add(draft(sources, id="glass", number=12))  # free again
    assert (store.by_number(13), store.by_number(12)) == ("cells", "glass")
    with pytest.raises(InputError, match="number 13 is that of cells, expected another one for glass"):
        store.add(draft(sources, id="glass", number=13))
    with pytest.raises(InputError, match="no recipe has number 14; `inspectd recipe list` shows them"):
        store.by_number(14)


def test_a_number_that_two_have_means_neither(store, sources, tmp_path):
    store.add(draft(sources))
    other = RecipeStore(tmp_path / "other")
    other.add(draft(sources, id="glass"))
    (tmp_path / "other" / "glass").rename(tmp_path / "recipes" / "glass")
    with pytest.raises(InputError, match="number 12 is that of cells and glass"):
        store.by_number(12)


def test_a_damaged_version_is_listed_with_the_reason_and_hides_no_other(store, sources, tmp_path):
    store.add(draft(sources))
    store.add(draft(sources, id="glass", number=13))
    file = tmp_path / "recipes" / "cells" / "1" / "recipe.json"
    file.chmod(0o644)
    file.write_text("{")
    damaged, sound = store.listing()
    assert (damaged.id, damaged.version, damaged.recipe) == ("cells", 1, None)
    assert damaged.problem.startswith(f"{file}: is damaged (")
    assert sound.problem is None
    assert store.newest("cells") == 1  # and no older one in its place
    with pytest.raises(InputError, match=r"no recipe has number 12, and the number of cells@1 is not known"):
        store.by_number(12)
    with pytest.raises(InputError, match="while it is damaged nobody knows its number"):
        store.add(draft(sources, id="wood", number=14))
    assert store.add(draft(sources)).version == 2  # which mends it
    assert store.by_number(12) == "cells"


def test_a_folder_in_a_versions_place_is_not_replaced(store, sources, tmp_path):
    (tmp_path / "recipes" / "cells" / "1").mkdir(parents=True)
    (tmp_path / "recipes" / "cells" / "2").touch()
    before = tree(tmp_path / "recipes")
    assert store.add(draft(sources)).version == 3
    assert {name: entry for name, entry in tree(tmp_path / "recipes").items() if "3" not in name} == before
    assert [each.problem is None for each in store.listing()] == [False, False, True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "../x"}, r"recipe ../x: does not describe a recipe: Expected `str` matching regex"),
        ({"id": "file"}, "its id is 'file', which stands for the configuration file"),
        ({"id": "a" * 64}, "matching regex"),
        ({"id": "cells\n"}, "matching regex"),
        ({"number": 0}, "Expected `int` >= 1 - at `\\$.number`"),
        ({"number": 1000}, "Expected `int` <= 999"),
        ({"number": True}, "Expected `int`"),
        ({"who": ""}, "length >= 1"),
        ({"who": "a\x1b[31m"}, "its `who` holds characters that do not print"),
        ({"why": "two\nlines"}, "its `why` holds characters that do not print"),
        ({"why": "x" * 301}, "length <= 300"),
        ({"cameras": {}}, "length >= 1"),
        ({"banks": {}}, "its cameras name the banks .*, its files are none"),
        ({"origin": "x"}, "matching regex"),
        ({"banks": {"banks/../x.safetensors": Path("x")}}, "x: cannot be read"),
    ],
)
def test_a_draft_that_is_not_allowed_leaves_nothing(store, sources, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        store.add(draft(sources, **changes))
    assert tree(tmp_path / "recipes") == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e301])
def test_a_threshold_that_is_no_number_leaves_nothing(store, sources, tmp_path, value):
    drafted = draft(sources)
    drafted.cameras["cam1"] = msgspec.structs.replace(drafted.cameras["cam1"], threshold=value)
    with pytest.raises(InputError, match="does not describe a recipe: Expected `float`"):
        store.add(drafted)
    assert tree(tmp_path / "recipes") == {}


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device"])
def test_a_bank_that_is_no_file_leaves_nothing(store, sources, tmp_path, kind):
    drafted, path = draft(sources), tmp_path / "odd"
    {"missing": lambda: None, "folder": path.mkdir, "pipe": lambda: os.mkfifo(path),
     "device": lambda: path.symlink_to("/dev/zero")}[kind]()  # fmt: skip
    drafted.banks["banks/cam1.safetensors"] = path
    with pytest.raises(InputError, match=f"{path}: "):
        store.add(drafted)
    assert tree(tmp_path / "recipes") == {}


def test_what_is_looked_at_before_it_appears_can_be_refused(store, sources, tmp_path):
    def refuse(folder: Path, recipe: object) -> None:
        assert (folder / "banks" / "cam1.safetensors").is_file()
        raise InputError(f"bank {folder}/banks/cam1.safetensors: is no bank")

    with pytest.raises(InputError, match=r"^bank banks/cam1\.safetensors: is no bank$"):
        store.add(draft(sources), refuse)
    assert tree(tmp_path / "recipes") == {}


def test_one_import_at_a_time(store, sources, tmp_path):
    store.add(draft(sources))
    descriptor = os.open(tmp_path / "recipes", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(UnavailableError, match="another import is at work; try again when it is done"):
        store.add(draft(sources))
    assert store.verify("cells", 1)  # reading waits for nobody
    os.close(descriptor)
    assert store.add(draft(sources)).version == 2


def test_progress_is_told_to_the_last_byte(store, sources):
    told = []
    added = store.add(draft(sources), progress=lambda done, total: told.append((done, total)))
    total = sum(file.bytes for file in added.files.values())
    assert told[-1] == (total, total)


@needs_root
@pytest.mark.parametrize("room", ["4k", "64k", "512k"])
def test_a_full_disk_is_said_and_leaves_nothing(sources, tmp_path, room):
    drafted = draft(sources)
    (sources / "cam2").write_bytes(bytes(1_000_000))
    with tmpfs(tmp_path / "disk", room) as disk:
        with pytest.raises(UnavailableError, match="No space left on device; what was there is unchanged"):
            RecipeStore(disk / "recipes").add(drafted)
        assert {name for name in tree(disk) if name != "recipes"} == set()


def test_an_archive_carries_a_version_to_another_line(store, sources, tmp_path):
    store.add(draft(sources))
    exported = store.add(draft(sources, parent=1))
    out = tmp_path / "cells.zip"
    assert store.export("cells", 2, out) == exported
    other = RecipeStore(tmp_path / "other")
    imported = other.import_archive(out, who="otto")
    assert (imported.version, imported.parent, imported.origin) == (1, None, exported.sha256)
    assert (imported.who, imported.why) == ("otto", exported.why)
    assert content(other, other.verify("cells", 1)) == content(store, exported)
    again = other.import_archive(out, who="otto", why="as wood", id="wood", number=7)
    assert (again.id, again.number, again.why) == ("wood", 7, "as wood")
    for store_of_it, known in ((other, "cells@1"), (store, "cells@2")):
        with pytest.raises(InputError, match=f"{out}: holds cells@2, which is already here as {known}"):
            store_of_it.import_archive(out, who="otto")
    other.export("cells", 1, tmp_path / "back.zip")
    with pytest.raises(InputError, match="holds cells@1, which is already here as cells@2"):
        store.import_archive(tmp_path / "back.zip", who="otto")


def test_what_judges_the_same_is_known_by_whichever_lines_it_came(store, sources, tmp_path):
    """Each import gives it a number, a person and a time of its own, and so another sha256."""
    stores = [store, *(RecipeStore(tmp_path / name) for name in ("second", "third"))]
    versions = [store.add(draft(sources))]
    for number, (before, after) in enumerate(pairwise(stores)):
        before.export("cells", 1, tmp_path / f"{number}.zip")
        versions.append(after.import_archive(tmp_path / f"{number}.zip", who=f"person {number}"))
    stores[2].export("cells", 1, tmp_path / "2.zip")
    assert len({version.sha256 for version in versions}) == 3
    assert len({version.content_sha256 for version in versions}) == 1
    for here, number in product(stores, range(3)):
        with pytest.raises(InputError, match="holds cells@1, which is already here as cells@1"):
            here.import_archive(tmp_path / f"{number}.zip", who="otto")
    side = msgspec.structs.replace(versions[0].cameras["cam1"], threshold=7.25)
    other = store.add(msgspec.structs.replace(draft(sources), cameras={**versions[0].cameras, "cam1": side}))
    assert other.content_sha256 != versions[0].content_sha256


def test_the_same_version_is_the_same_archive_and_replaces_no_file(store, sources, tmp_path):
    store.add(draft(sources))
    for name in ("a.zip", "b.zip"):
        store.export("cells", 1, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with pytest.raises(InputError, match=r"a.zip: exists, and an archive never replaces a file"):
        store.export("cells", 1, tmp_path / "a.zip")
    with pytest.raises(UnavailableError, match="cannot be written: No such file or directory"):
        store.export("cells", 1, tmp_path / "nowhere" / "a.zip")
    bank = store.folder("cells", 1) / "banks" / "cam1.safetensors"
    bank.chmod(0o644)
    bank.write_bytes(bank.read_bytes()[::-1])
    with pytest.raises(InputError, match=r"cam1\.safetensors: was altered"):
        store.export("cells", 1, tmp_path / "c.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "recipes", "sources"]


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(lambda name: name != "file")
texts = st.text(max_size=50).filter(str.isprintable)
numbers = st.none() | st.floats(-1e300, 1e300)


judged = st.tuples(st.binary(max_size=3000), numbers, numbers, st.booleans())


@given(st.dictionaries(names, judged, min_size=1, max_size=5), names, st.integers(1, 999), texts)
def test_whatever_is_carried_elsewhere_is_the_same_there(tmp_path_factory, of_cameras, name, number, why):
    folder = tmp_path_factory.mktemp("carried")
    cameras, banks = {}, {}
    for camera, (data, threshold, check_above, any_size) in of_cameras.items():
        bank = f"banks/{camera}.safetensors"
        (folder / camera).write_bytes(data)
        cameras[camera] = CameraRecipe(
            bank=bank, bank_sha256="ab" * 32, threshold=threshold, check_above=check_above, any_size=any_size
        )
        banks[bank] = folder / camera
    here, there = RecipeStore(folder / ".here"), RecipeStore(folder / ".there")
    added = here.add(RecipeDraft(id=name, number=number, cameras=cameras, banks=banks, who="w", why=why))
    here.export(name, 1, folder / ".zip")
    carried = there.verify(name, there.import_archive(folder / ".zip", who="x").version)
    assert content(there, carried) == content(here, added)
    assert carried.why == why


def test_a_version_from_before_there_were_camera_settings_keeps_its_sha256():
    camera = CameraRecipe(bank="banks/top.safetensors", bank_sha256="1" * 64, threshold=4.5)
    version = sealed(
        RecipeVersion(
            id="cells", version=1, number=12, parent=None, cameras={"top": camera}, who="anna",
            created_utc_ns=10**18, why="", software="0.1.0", sha256="0" * 64,
            files={camera.bank: FileDigest("2" * 64, 10)},
        )
    )  # fmt: skip
    assert version.sha256 == "7dcbc543da05cf854d1a2a42fa93eccafe7e9387e7c1df71584b8ba25d1e78b9"
    assert decode(encode(version), "recipe.json") == version
    assert b"exposure_us" not in encode(version)
