"""Where commands look for the folders of a line that is a service, and its file names none."""

from __future__ import annotations

import fcntl
import os

import check_imports
import pytest
from support.daemon import camera_table, settings
from support.disks import needs_root
from support.ordinary import run_without_rights

from inspectd import cli, config
from inspectd.cli import line_folders
from inspectd.cli.stopped_line import stopped_line
from inspectd.errors import UnavailableError
from inspectd.evidence.store import _OWNER as OWNER
from inspectd.key_files import new_pair


@pytest.fixture
def service(tmp_path, bank_file, good_folder, monkeypatch):
    """The file of a line whose unit was started once, and the folder of its state."""
    monkeypatch.setattr(line_folders, "_RUN", tmp_path / "run")
    monkeypatch.setattr(line_folders, "_STATE", tmp_path / "lib")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(variable, raising=False)
    state = tmp_path / "lib" / "line7"
    state.mkdir(parents=True)
    file = tmp_path / "line7.toml"
    file.write_text(settings(bank_file, camera_table("cam", good_folder), extra="[evidence]"))
    return file, state


def test_who_takes_the_place_of_a_service_is_where_the_plant_sends_its_triggers(service, tmp_path):
    file, _ = service
    with (
        pytest.raises(UnavailableError, match=r"as root make it .*/run/line7`.*, then do this as"),
        stopped_line(config.load(file), file, needed=True),
    ):
        pass
    (tmp_path / "run" / "line7").mkdir(parents=True)
    with stopped_line(config.load(file), file, needed=True) as place:
        assert place == tmp_path / "run" / "line7"
        held = os.open(place, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(held)


def test_golden_checks_are_read_where_the_service_records_them(service, capsys):
    file, state = service
    assert cli.main(["golden", "report", "--config", str(file)]) == 2
    assert f"{state}/golden.jsonl: no check with golden parts is recorded" in capsys.readouterr().err


def test_another_lines_evidence_is_found_where_the_service_would_keep_it(service, inspectd):
    file, state = service
    (state / "evidence").mkdir()
    (state / "evidence" / OWNER).write_text("plant/line8\n")
    done = inspectd("check", file)
    assert done.returncode == 2
    assert f"evidence.dir: {state}/evidence has the evidence of line plant/line8" in done.stderr


_CHECK = """
import sys
from pathlib import Path
from inspectd.cli import line_folders, main

line_folders._CREDENTIALS = Path(sys.argv[2])
sys.stderr = sys.stdout
print(main(["check", sys.argv[1]]))
"""


def test_a_key_in_systemds_store_is_looked_for_there(service, inspectd, tmp_path, monkeypatch):
    store, own = tmp_path / "store", tmp_path / "keys"
    monkeypatch.setattr(line_folders, "_CREDENTIALS", store)
    store.mkdir()
    own.mkdir(mode=0o755)
    file, _ = service
    file.write_text(file.read_text() + f'[security]\nkeys_dir = "{own}"\n')
    _, secret = new_pair(own / "server")
    kept = secret.rename(store / "inspectd-line7.key_secret")
    done = inspectd("check", file)
    assert done.returncode == 0, done.stderr
    kept.chmod(0o644)
    assert f"{kept}: has mode 644" in inspectd("check", file).stderr
    kept.rename(tmp_path / "lost")
    done = inspectd("check", file)
    assert (done.returncode, "server.key beside it is of no use alone: put" in done.stderr) == (2, True)


@needs_root
def test_who_cannot_look_into_systemds_store_is_told_to_check_as_root(service, tmp_path):
    store, own = tmp_path / "store", tmp_path / "keys"
    store.mkdir(mode=0o700)
    os.chown(store, 65534, 65534)
    own.mkdir(mode=0o755)
    file, _ = service
    file.write_text(file.read_text() + f'[security]\nkeys_dir = "{own}"\n')
    new_pair(own / "server")[1].unlink()
    said = run_without_rights(_CHECK, file, store)
    assert "may be in systemd's credential store: " in said
    assert said.endswith("\n0\n")


def test_no_command_takes_the_settings_word_for_a_folder(tmp_path):
    assert check_imports.strays() == []
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "new.py").write_text("path = settings.line.state_path\n")
    (stray,) = check_imports.strays(tmp_path)
    assert stray.endswith("cli/new.py:1: where a line has its folders, cli/line_folders.py says")
