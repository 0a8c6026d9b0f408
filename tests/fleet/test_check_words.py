"""What `--check` says and leaves: a server's name is shown and not obeyed; one that is not there is named."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ports import free_port

from inspectd import cli
from inspectd.fleet.agent.signing import new_signer
from inspectd.fleet.keys import new_key

FORGED = "nats1\x1b[2J\nno problem\u202e"


class Monitor(http.server.BaseHTTPRequestHandler):
    """A monitoring endpoint of a server with such a name."""

    def do_GET(self) -> None:
        said = {"server_name": FORGED, "version": "2.15.1\r", "config": {"sync_always": True}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def monitor() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Monitor)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(monitor: str, tmp_path: Path) -> Path:
    seed, _ = new_key(tmp_path / "line")
    file = tmp_path / "forward.toml"
    file.write_text(
        f'[line]\nplant = "test"\nname = "line"\nverdicts = "ipc://{tmp_path}/verdicts.sock"\n[servers]\n'
        f'addresses = ["tls://127.0.0.1:{free_port()}"]\nmonitors = ["{monitor}"]\nseed_file = "{seed}"\n'
    )
    return file


def test_a_servers_name_forges_no_line(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["forward", "--config", str(settings), "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "no problem" not in lines
    (line,) = [line for line in lines if "flushes every message" in line]
    assert line.startswith(r"nats1\u001b[2J\u000ano problem\u202e at http://127.0.0.1:")
    assert r"nats-server 2.15.1\u000d, flushes" in line


def test_what_protects_the_metrics_is_opened_too(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings.write_text(f'{settings.read_text()}[metrics]\nusers_file = "nowhere"\n')
    assert cli.main(["forward", "--config", str(settings), "--check"]) == 1
    assert f"PROBLEM: {settings.parent}/nowhere: cannot be read" in capsys.readouterr().out


def test_a_key_that_is_not_there_hides_no_other_problem(
    settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.parent / "line.nk").unlink()
    settings.write_text(f'{settings.read_text()}[metrics]\nusers_file = "nowhere"\n')
    assert cli.main(["forward", "--config", str(settings), "--check"]) == 2
    said = capsys.readouterr()
    assert f"PROBLEM: {settings.parent}/nowhere: cannot be read" in said.out
    assert f"{settings.parent}/line.nk: " in said.err


def test_servers_that_are_not_there_are_named(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["forward", "--config", str(settings), "--check"])
    assert "PROBLEM: no connection to tls://127.0.0.1:" in capsys.readouterr().out
    key = settings.parent / "line.nk"
    assert cli.main(["forward", "make-streams", "--config", str(settings), "--key", str(key)]) == 3
    said = capsys.readouterr().err
    assert "the plant's servers: no connection to tls://127.0.0.1:" in said
    assert said.endswith(": Connection refused\n")


def test_the_agents_check_leaves_its_folder_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever checks may be another user than the agent's, who could not use what that one made."""
    seed, _ = new_key(tmp_path / "agent")
    people = {name: new_signer(tmp_path / name)[1] for name in ("anna", "otto")}
    (tmp_path / "state").mkdir()
    (tmp_path / "line.toml").touch()
    file = tmp_path / "fleet.toml"
    file.write_text(
        f'[line]\nplant = "test"\nname = "line"\nverdicts = "ipc://{tmp_path}/verdicts.sock"\n'
        f'[servers]\naddresses = ["tls://127.0.0.1:{free_port()}"]\nseed_file = "{seed}"\n'
        f'[fleet]\nline_file = "{tmp_path}/line.toml"\nstate_dir = "{tmp_path}/state"\nmin_free_mb = 1\n'
        + "".join(f'[[signers]]\nname = "{name}"\nkey = "{key}"\n' for name, key in people.items())
    )
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["fleet", "--config", str(file), "--check"]) == 1
    assert f"{tmp_path}/state: no order was accepted last" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
