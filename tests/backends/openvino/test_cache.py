import os
from pathlib import Path

import pytest

from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.openvino.pipeline import Exported

MODELS = Exported((b"<xml/>", b"\x00\x01"), (b"<net/>", b""))


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache")
    assert cache.models("a" * 64) is None
    cache.keep_models("a" * 64, MODELS)
    assert ModelCache(tmp_path / "cache").models("a" * 64) == MODELS


def test_it_lies_where_the_service_manager_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    assert ModelCache().folder == tmp_path


def test_another_bank_is_another_entry(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    cache.keep_models("a" * 64, MODELS)
    assert cache.models("b" * 64) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_entry_counts_as_missing(tmp_path: Path, damage: str) -> None:
    cache = ModelCache(tmp_path)
    cache.keep_models("a" * 64, MODELS)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes({"cut": data[:50], "flip": data, "empty": b""}[damage])
    assert cache.models("a" * 64) is None
    cache.keep_models("a" * 64, MODELS)
    assert cache.models("a" * 64) == MODELS


def test_old_entries_make_room(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path)
    mine = tmp_path / "thesis.doc"
    mine.write_text("of whoever owns the folder")
    for number in range(70):
        cache.keep_models(f"{number:064x}", MODELS)
    assert len(list(tmp_path.glob("*.models"))) == 64
    assert mine.exists()
    assert cache.models(f"{69:064x}") == MODELS


def test_an_entry_in_use_is_not_among_the_old_ones(tmp_path: Path) -> None:
    """A line loads its bank at every start, and other banks come and go beside it."""
    cache = ModelCache(tmp_path)
    for number in range(64):
        cache.keep_models(f"{number:064x}", MODELS)
    assert cache.models(f"{0:064x}") == MODELS
    for number in range(64, 100):
        cache.keep_models(f"{number:064x}", MODELS)
    assert cache.models(f"{0:064x}") == MODELS
    assert cache.models(f"{1:064x}") is None


def test_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = ModelCache(tmp_path / "file" / "cache")
    cache.keep_models("a" * 64, MODELS)
    assert cache.models("a" * 64) is None
    assert "cache_not_writable" in caplog.text


def test_without_any_place_for_it_nothing_is_kept_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in ("CACHE_DIRECTORY", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)  # a user that the system does not know
    cache = ModelCache()
    cache.keep_models("a" * 64, MODELS)
    assert cache.models("a" * 64) is None
    assert "no_cache" in caplog.text


def test_an_old_entry_that_cannot_be_removed_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = tmp_path / "held.models"
    held.mkdir()  # no file
    os.utime(held, (1, 1))  # and the oldest
    cache = ModelCache(tmp_path)
    for number in range(70):
        cache.keep_models(f"{number:064x}", MODELS)
    assert len(list(tmp_path.iterdir())) == 65
    assert "cache_entry_stuck" in caplog.text
