"""Archives that are damaged or made to do harm: each is refused in one line and changes nothing."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import struct
import zipfile
from typing import Any

import msgspec
import pytest
from support.recipes import NAMES, content, files_of, refused, resealed, tree, zipped

from inspectd.errors import InputError
from inspectd.recipes.store import RecipeStore


@pytest.mark.parametrize("tenth", range(80))
def test_an_archive_cut_anywhere_is_refused(whole, there, tmp_path, tenth):
    data = (whole / "cells.zip").read_bytes()
    refused(there, tmp_path, data[: len(data) * tenth // 80])


@pytest.mark.parametrize("seed", range(150))
def test_a_flipped_bit_is_refused_or_changes_nothing_of_what_is_imported(whole, there, tmp_path, seed):
    data = bytearray((whole / "cells.zip").read_bytes())
    at = random.Random(seed).randrange(len(data))
    data[at] ^= 1 << seed % 8
    before = tree(tmp_path / "there")
    (tmp_path / "odd.zip").write_bytes(data)
    try:
        imported = there.import_archive(tmp_path / "odd.zip", who="otto")
    except InputError:
        assert tree(tmp_path / "there") == before
    else:  # a date or another field of ZIP that means nothing here
        here = RecipeStore(whole / "recipes")
        assert content(there, there.verify("cells", imported.version)) == content(here, here.read("cells", 1))


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06" + bytes(18), bytes(10_000), b"[cameras]\n" * 50])
def test_what_is_no_archive_is_refused(there, tmp_path, data):
    refused(there, tmp_path, data)


def test_an_archive_that_is_not_there_or_no_file_is_refused(there, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        ("nowhere", "No such file"),
        ("pipe", "is not a regular file"),
        ("", "is not a regular file"),
    ):
        with pytest.raises(InputError, match=said):
            there.import_archive(tmp_path / path, who="otto")


# Archives that are made to do harm.

PATHS = (
    "../cam1.safetensors", "banks/../../cam1.safetensors", "/etc/passwd", "/banks/cam1.safetensors",
    "banks\\cam1.safetensors", "..\\cam1.safetensors", "C:\\cam1.safetensors", "C:/cam1.safetensors",
    "banks/sub/cam1.safetensors", "banks//cam1.safetensors", "./banks/cam1.safetensors", "banks/.safetensors",
    "banks/./cam1.safetensors", "banks/.hidden.safetensors", "banks/cam1.safetensors/", "banks/", "banks", "",
    "banks/cam1", "banks/cam1.pickle", "banks/cam1.safetensors\n", "banks/cam\x001.safetensors",
    "banks/cäm1.safetensors", "banks/cam1.SAFETENSORS", "BANKS/cam1.safetensors", "recipe.json",
    "banks/recipe.json", "banks/" + "a" * 300 + ".safetensors", "banks/a b.safetensors",
    "banks/\x1b[31m.safetensors",
    "banks/*.safetensors", "~/cam1.safetensors", "banks/$HOME.safetensors", "banks/..safetensors",
)  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_leads_elsewhere_is_refused(whole, there, tmp_path, name):
    """Somebody who knows how the digest is made names the file so in the manifest too."""
    files = files_of(whole)

    def rename(fields: dict[str, Any]) -> None:
        fields["files"][name] = fields["files"].pop(NAMES[1])
        fields["cameras"]["cam1"]["bank"] = name

    banks = sorted([(name, files[NAMES[1]]), (NAMES[2], files[NAMES[2]])])
    refused(there, tmp_path, zipped([("recipe.json", resealed(files["recipe.json"], rename)), *banks]))
    refused(there, tmp_path, zipped([("recipe.json", files["recipe.json"]), *banks]))
    beside = [(each, files[each]) for each in NAMES]
    refused(there, tmp_path, zipped([*beside, (name, b"more")]))


def odd_entry(name: str, mode: int = stat.S_IFREG | 0o644, compression: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr, entry.compress_type = mode << 16, compression
    return entry


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFCHR, 0])
def test_links_and_devices_are_refused(whole, there, tmp_path, at, kind):
    entries: list[Any] = list(files_of(whole).items())
    entries[at] = (odd_entry(NAMES[at], mode=kind | 0o644), entries[at][1])
    assert "is a link, a folder or a device" in refused(there, tmp_path, zipped(entries))


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_files_are_refused(whole, there, tmp_path, at, compression):
    entries: list[Any] = list(files_of(whole).items())
    entries[at] = (odd_entry(NAMES[at], compression=compression), entries[at][1])
    assert "is compressed" in refused(there, tmp_path, zipped(entries))


def test_a_bomb_is_refused_before_it_is_unpacked(whole, there, tmp_path):
    entries: list[Any] = list(files_of(whole).items())
    entries[1] = (odd_entry(NAMES[1], compression=zipfile.ZIP_DEFLATED), bytes(50_000_000))
    assert "is compressed" in refused(there, tmp_path, zipped(entries))


@pytest.mark.parametrize(
    "order", [(0,), (0, 1), (0, 2, 1), (1, 0, 2), (0, 1, 1, 2), (0, 0, 1, 2), (0, 1, 2, 2), (1, 2)]
)
def test_files_that_are_missing_twice_or_in_another_order_are_refused(whole, there, tmp_path, order):
    entries = list(files_of(whole).items())
    refused(there, tmp_path, zipped([entries[at] for at in order]))


def test_a_long_list_of_entries_is_refused_before_it_is_read(there, tmp_path):
    data = zipped([(f"{number}", b"") for number in range(2000)])
    assert "has a list of 2000 entries" in refused(there, tmp_path, data)


def entry_of(data: bytes, at: int) -> int:
    """Where the list of entries has that of the file number `at`."""
    begin = -1
    for _ in range(at + 1):
        begin = data.index(b"PK\x01\x02", begin + 1)
    return begin


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("size", [0, 1, 339, 341, 2**31, 2**32 - 2])
def test_sizes_that_lie_are_refused(whole, there, tmp_path, at, size):
    for fields in ("compressed", "uncompressed", "both"):
        data = bytearray((whole / "cells.zip").read_bytes())
        if fields != "uncompressed":
            struct.pack_into("<L", data, entry_of(data, at) + 20, size)
        if fields != "compressed":
            struct.pack_into("<L", data, entry_of(data, at) + 24, size)
        refused(there, tmp_path, bytes(data))


UNUSED = {
    "a later version of ZIP": (6, 0xFF), "encrypted": (8, 0x01), "patched": (8, 0x20),
    "encrypted well": (8, 0x40), "names encrypted": (9, 0x20), "an odd method": (10, 0x63),
    "elsewhere": (42, 0xFF), "far behind": (45, 0xFF),
}  # fmt: skip


@pytest.mark.parametrize(("offset", "value"), UNUSED.values(), ids=UNUSED)
def test_entries_of_features_we_never_use_are_refused(whole, there, tmp_path, offset, value):
    for at in range(3):
        data = bytearray((whole / "cells.zip").read_bytes())
        data[entry_of(data, at) + offset] = value
        refused(there, tmp_path, bytes(data))


@pytest.mark.parametrize("at", range(3))
def test_names_that_are_no_text_or_another_one_beside_the_file_are_refused(whole, there, tmp_path, at):
    data = bytearray((whole / "cells.zip").read_bytes())
    listed = entry_of(data, at)
    (local,) = struct.unpack_from("<L", data, listed + 42)
    for begin, flags in ((listed, 8), (local, 6)):
        wrong = bytearray(data)
        wrong[begin + flags + 1] |= 0x08  # says that the name is UTF-8
        wrong[begin + (46 if begin == listed else 30)] = 0xFF
        refused(there, tmp_path, bytes(wrong))


def test_entries_that_share_their_bytes_are_refused(whole, there, tmp_path):
    """Twenty names for one file of 100 kB: a bomb that needs no compression."""
    files, shared = files_of(whole), bytes(100_000)
    digest = {"sha256": hashlib.sha256(shared).hexdigest(), "bytes": len(shared)}

    def share(fields: dict[str, Any]) -> None:
        camera = fields["cameras"]["cam1"]
        names = [f"banks/cam{number}.safetensors" for number in range(10, 30)]
        fields["files"] = dict.fromkeys(names, digest)
        fields["cameras"] = {f"c{at}": camera | {"bank": name} for at, name in enumerate(names)}

    manifest = resealed(files["recipe.json"], share)
    names = sorted(msgspec.json.decode(manifest)["files"])
    data = bytearray(
        zipped([("recipe.json", manifest), (names[0], shared), *((name, b"") for name in names[1:])])
    )
    begin = entry_of(data, 1)
    crc, where = data[begin + 16 : begin + 20], data[begin + 42 : begin + 46]
    while (begin := data.find(b"PK\x01\x02", begin + 1)) > 0:
        data[begin + 16 : begin + 20], data[begin + 42 : begin + 46] = crc, where
        struct.pack_into("<2L", data, begin + 20, len(shared), len(shared))
    assert "overlap" in refused(there, tmp_path, bytes(data))


def test_another_bank_in_the_place_of_one_is_refused(whole, there, tmp_path):
    files = files_of(whole)
    files[NAMES[1]] = files[NAMES[1]][::-1]
    assert "was altered: expected what recipe.json says" in refused(
        there, tmp_path, zipped(list(files.items()))
    )
