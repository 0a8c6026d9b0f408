"""Where directories go that the settings leave to the system, and what is said where it has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import camera_table, settings

from inspectd import config
from inspectd.config import ImagesCamera, LineSettings, Recipe
from inspectd.config.places import cache_directory, systemd_directory
from inspectd.errors import UnavailableError

LINE = """
[[recipes]]
name = "a"
bank = "a.bank"
[[cameras]]
kind = "images"
name = "cam"
recipe = "a"
folder = "pictures"
[metrics]
port = 0
"""
_PLACES = (
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "CACHE_DIRECTORY",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "HOME",
)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No directory is given by the environment, and the user is one that the system does not know."""
    for variable in _PLACES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)
    return monkeypatch


@pytest.mark.parametrize("value", ["{0}", "{0}:{0}/second", "{0}:"])
def test_of_systemds_list_of_directories_the_first_counts(bare, tmp_path, value):
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CACHE_DIRECTORY"):
        bare.setenv(variable, value.format(tmp_path))
    assert LineSettings().state_path == LineSettings().runtime_path == cache_directory() == tmp_path


def test_a_variable_that_is_empty_names_nothing(bare):
    bare.setenv("STATE_DIRECTORY", "")
    assert systemd_directory("STATE_DIRECTORY") is None


def test_without_a_home_the_setting_is_named(bare, tmp_path):
    with pytest.raises(UnavailableError, match=r"line\.state_dir: .* no home"):
        _ = LineSettings().state_path
    assert LineSettings(state_dir=str(tmp_path)).state_path == tmp_path
    bare.setenv("HOME", str(tmp_path))
    assert LineSettings(name="l").state_path == tmp_path / ".local/state/inspectd/plant/l"


@pytest.mark.parametrize("home", ["/nonexistent", "{}/missing"])
def test_a_home_that_is_not_there_is_none(bare, tmp_path, home):
    bare.setenv("HOME", home.format(tmp_path))
    with pytest.raises(UnavailableError, match="no home"):
        _ = LineSettings().state_path
    assert cache_directory() is None


def test_directories_of_the_file_are_taken_from_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    file = tmp_path / "line.toml"
    file.write_text(LINE + '[line]\nstate_dir = "state"\nruntime_dir = "run"\n')
    loaded = config.load(file)
    assert (loaded.state_path, loaded.runtime_path) == (tmp_path / "state", tmp_path / "run")
    assert loaded.evidence_path == tmp_path / "state" / "evidence"


def test_the_settings_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "line.toml"
    file.write_bytes(b"\xef\xbb\xbf" + LINE.replace("\n", "\r\n").encode())
    assert config.load(file).recipes[0].name == "a"


def by_an_unknown_user(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a user whom the system does not know, with next to no environment."""
    unknown = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-i"]
    environment = [f"{name}={os.environ[name]}" for name in ("PATH", "PYTHONPATH") if name in os.environ]
    return subprocess.run(
        [*unknown, *environment, sys.executable, "-m", "inspectd", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )


def test_without_a_home_banks_load_and_only_the_cache_is_missed(tmp_path, bank_file, good_folder):
    file = tmp_path / "line.toml"
    cameras = camera_table("cam", good_folder)
    file.write_text(
        settings(bank_file, cameras, extra="[scoring]\nthreads = 1\n").replace(
            "[line]", f'[line]\nstate_dir = "{tmp_path}/state"'
        )
    )
    done = by_an_unknown_user("check", file)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_user_without_a_home_gets_one_line_and_no_traceback(tmp_path, command):
    file = tmp_path / "line.toml"
    file.write_text(LINE)
    done = by_an_unknown_user(command, file)
    assert done.returncode in {2, 3}, done.stderr
    assert "Traceback" not in done.stderr
    assert "line.state_dir: is empty" in done.stderr
    assert "$HOME" in done.stderr


def test_without_a_temporary_directory_the_setting_is_named(bare):
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in [...]")

    bare.setattr("tempfile.gettempdir", none)
    with pytest.raises(UnavailableError, match=r"line\.runtime_dir: .* \$TMPDIR"):
        _ = config.Config(
            recipes=(Recipe(name="r", bank="b"),), cameras=(ImagesCamera(name="c", recipe="r", folder="x"),)
        ).runtime_path
