"""Where directories go that the settings leave to the system, and what is said where it has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspectd import config
from inspectd.bank.cache import ModelCache
from inspectd.config import ImagesCamera, Line, Recipe
from inspectd.config.places import systemd_directory
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
    assert Line().state_path == Line().runtime_path == ModelCache().folder == tmp_path


def test_a_variable_that_is_empty_names_nothing(bare):
    bare.setenv("STATE_DIRECTORY", "")
    assert systemd_directory("STATE_DIRECTORY") is None


def test_without_a_home_the_setting_is_named(bare, tmp_path):
    with pytest.raises(UnavailableError, match=r"line\.state_dir: .* no home"):
        _ = Line().state_path
    assert Line(state_dir=str(tmp_path)).state_path == tmp_path
    bare.setenv("HOME", str(tmp_path))
    assert Line(name="l").state_path == tmp_path / ".local/state/inspectd/plant/l"


def test_directories_of_the_file_are_taken_from_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    file = tmp_path / "line.toml"
    file.write_text(LINE + '[line]\nstate_dir = "state"\nruntime_dir = "run"\n')
    settings = config.load(file)
    assert (settings.state_path, settings.runtime_path) == (tmp_path / "state", tmp_path / "run")
    assert settings.evidence_path == tmp_path / "state" / "evidence"


def test_the_settings_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "line.toml"
    file.write_bytes(b"\xef\xbb\xbf" + LINE.replace("\n", "\r\n").encode())
    assert config.load(file).recipes[0].name == "a"


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_user_without_a_home_gets_one_line_and_no_traceback(tmp_path, command):
    file = tmp_path / "line.toml"
    file.write_text(LINE)
    unknown = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-i"]
    environment = [f"{name}={os.environ[name]}" for name in ("PATH", "PYTHONPATH") if name in os.environ]
    done = subprocess.run(
        [*unknown, *environment, sys.executable, "-m", "inspectd", command, file],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
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
