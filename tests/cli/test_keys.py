"""`inspectd keys` as a person runs it, and a real line that obeys it."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq
from support.command import inspectd
from support.ports import free_port

from inspectd import cli, files, key_files
from inspectd.endpoint import Users
from inspectd.publish.access import keys
from inspectd.recipes import audit
from tests.support.daemon import camera_table, settings


@pytest.fixture
def keys_dir(tmp_path: Path) -> Path:
    assert cli.main(["keys", "new", str(tmp_path / "keys" / "server")]) == 0
    return tmp_path / "keys"


def test_from_a_new_key_to_its_revocation(tmp_path, keys_dir):
    assert inspectd("keys", "list", keys_dir).stdout == f"no key is allowed in {keys_dir}\n"
    made = inspectd("keys", "new", tmp_path / "gate1")
    assert (
        made.stdout
        == f"wrote {tmp_path}/gate1.key (to hand out) and {tmp_path}/gate1.key_secret (mode 600, keep it)\n"
    )
    assert inspectd("keys", "allow", keys_dir, tmp_path / "gate1.key").stdout == "gate1 may read\n"
    both = inspectd("keys", "allow", keys_dir, tmp_path / "gate1.key", "--role", "control", "--role", "read")
    assert both.stdout == "gate1 may read and control\n"
    public = key_files.read_public(tmp_path / "gate1.key").decode()
    assert inspectd("keys", "list", keys_dir).stdout.split() == ["gate1", "read,control", public]
    assert inspectd("keys", "revoke", keys_dir, "gate1").returncode == 0
    assert keys.read_allowed(keys_dir) == []


def test_a_secret_that_others_may_read_is_refused_with_what_to_do(
    tmp_path, keys_dir, start_daemon, stub_bank, small_good
):
    (keys_dir / "server.key_secret").chmod(0o644)
    text = settings(stub_bank, camera_table("cam", small_good), extra=f'[security]\nkeys_dir = "{keys_dir}"')
    daemon = start_daemon(text)
    assert daemon.process.wait(20) == 2
    log = daemon.log.read_text()
    assert f"has mode 644, expected 600; run `chmod 600 {keys_dir}/server.key_secret`" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["revoke", "KEYS", "nobody"], "no key is called 'nobody', expected one of: none is allowed"),
        (
            ["allow", "KEYS", "nowhere.key"],
            "nowhere.key: cannot be read: not found; `inspectd keys new` makes keys",
        ),
        (["allow", "KEYS", "KEYS/server.key", "--name", "a b"], "--name: got 'a b', expected letters"),
        (["new", "KEYS/server"], "exists, and a key is never overwritten"),
        (["list", "KEYS/server.key"], "server.key, a key file; expected the line's configuration file, or"),
        (["allow", "KEYS/server.key", "line1.toml"], "(WHERE comes before KEY or NAME)"),
        (["allow", "KEYS", "KEYS/server.key_secret"], "a secret key stays where it was made"),
        (["allow", "KEYS", "KEYS/pipe"], "pipe: is not a regular file, expected one"),
        (["allow", "KEYS", "/dev/zero"], "/dev/zero: is not a regular file, expected one"),
        (["list", "x" * 300], "cannot be read: File name too long"),
    ],
)
def test_mistakes_are_told_in_words(keys_dir, words, said, capsys):
    os.mkfifo(keys_dir / "pipe")
    assert cli.main(["keys", *[word.replace("KEYS", str(keys_dir)) for word in words]]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_role_is_told_the_two_there_are(keys_dir, capsys):
    with pytest.raises(SystemExit):
        cli.main(["keys", "allow", str(keys_dir), "gate1.key", "--role", "controll"])
    said = capsys.readouterr().err
    assert "control" in said
    assert "Role." not in said


def test_two_keys_cannot_have_one_name(tmp_path, keys_dir, capsys):
    for folder in ("a", "b"):
        cli.main(["keys", "new", str(tmp_path / folder / "gate")])
    assert cli.main(["keys", "allow", str(keys_dir), str(tmp_path / "a" / "gate.key")]) == 0
    assert cli.main(["keys", "allow", str(keys_dir), str(tmp_path / "b" / "gate.key")]) == 2
    assert "'gate' is another key's name here" in capsys.readouterr().err


def test_commands_at_once_undo_nothing_of_each_other(tmp_path, keys_dir):
    names = [f"gate{number}" for number in range(8)]
    words = [["keys", "allow", str(keys_dir), str(tmp_path / f"{name}.key")] for name in names]
    for name in (*names, "thief"):
        cli.main(["keys", "new", str(tmp_path / name)])
    cli.main(["keys", "allow", str(keys_dir), str(tmp_path / "thief.key")])
    words.append(["keys", "revoke", str(keys_dir), "thief"])
    with ThreadPoolExecutor(len(words)) as at_once:
        assert [*at_once.map(cli.main, words)] == [0] * len(words)
    assert sorted(client.name for client in keys.read_allowed(keys_dir)) == names


def test_a_list_that_another_command_never_lets_go_is_left_alone(keys_dir, monkeypatch, capsys):
    monkeypatch.setattr(files, "_CHANGE_SECONDS", 0.05)
    with keys.changing_allowed(keys_dir):
        assert cli.main(["keys", "revoke", str(keys_dir), "gate1"]) == 3
    assert "allowed_keys: another command is changing it" in capsys.readouterr().err


def test_changes_of_a_lines_keys_are_in_its_audit_file(tmp_path, keys_dir, capsys):
    text = settings("bank", camera_table("cam", tmp_path), extra=f'[security]\nkeys_dir = "{keys_dir}"')
    (tmp_path / "line.toml").write_text(text.replace("[line]", '[line]\nstate_dir = "state"', 1))
    line, log = str(tmp_path / "line.toml"), tmp_path / "state" / "audit.jsonl"
    cli.main(["keys", "new", str(tmp_path / "gate1")])
    allow = ["keys", "allow", line, str(tmp_path / "gate1.key")]
    assert cli.main(allow) == 0
    assert f"not recorded: the line has not run yet, so there is no {log}" in capsys.readouterr().err
    log.parent.mkdir()
    for words in (
        [*allow, "--role", "control"],
        [*allow, "--name", "gate2"],
        ["keys", "revoke", line, "gate2"],
    ):
        assert cli.main(words) == 0
    records = audit.without_beginnings(audit.read(log))
    assert [(record.object, record.old, record.new, record.result) for record in records] == [
        ("gate1", "gate1 read", "gate1 control", "done"),
        ("gate2", "gate1 control", "gate2 read", "done"),
        ("gate2", "gate2 read", None, "done"),
    ]
    assert key_files.read_public(tmp_path / "gate1.key").decode() not in log.read_text()
    log.unlink()
    log.mkdir()
    assert cli.main(allow) == 3
    assert keys.read_allowed(keys_dir) == []


def test_a_password_is_kept_as_a_hash(tmp_path):
    file = tmp_path / "metrics.users"
    assert inspectd("keys", "password", file, "prometheus", stdin="secret\n").returncode == 0
    assert inspectd("keys", "password", file, "grafana", stdin="other\n").returncode == 0
    assert "secret" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    users = Users(file)
    assert users.knows("prometheus", "secret")
    assert users.knows("prometheus", "secret")  # and again, from memory
    assert not users.knows("prometheus", "other")
    assert not users.knows("nobody", "secret")
    assert inspectd("keys", "password", file, "x", stdin="\n").returncode == 2


def test_a_running_line_obeys_a_revocation_within_seconds(
    tmp_path, keys_dir, start_daemon, stub_bank, small_good
):
    port = free_port()
    for name in ("gate1", "gate2"):
        cli.main(["keys", "new", str(tmp_path / name)])
        cli.main(["keys", "allow", str(keys_dir), str(tmp_path / f"{name}.key")])
    text = settings(
        stub_bank,
        camera_table("cam", small_good),
        extra=f'[publish]\nverdicts_tcp = "0.0.0.0:{port}"\n[security]\nkeys_dir = "{keys_dir}"',
    )
    daemon = start_daemon(text).ready()  # its own reader is local and needs no key
    context = zmq.Context()
    clients = []
    try:
        for name in ("gate1", "gate2"):
            client = context.socket(zmq.SUB)
            clients.append(client)
            pair = key_files.read_pair(tmp_path / f"{name}.key_secret")
            client.curve_serverkey = key_files.read_public(keys_dir / "server.key")
            client.curve_publickey, client.curve_secretkey = pair.public, pair.secret
            client.subscribe(b"")
            client.connect(f"tcp://127.0.0.1:{port}")
            assert client.poll(10_000)
        began = time.monotonic()
        assert inspectd("keys", "revoke", daemon.file, "gate1").returncode == 0
        daemon.until(lambda: daemon.reader.event("keys_changed"), 5)
        assert daemon.reader.event("keys_changed").detail == "revoked gate1"
        daemon.until(lambda: daemon.reader.event("auth_failed"), 5)
        assert "verdicts: 1 by unknown_key" in daemon.reader.event("auth_failed").detail
        assert time.monotonic() - began < 5
        for client in clients:
            while client.poll(0):
                client.recv_multipart()
        assert clients[1].poll(5000)  # the other is back
        seen = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > seen + 10)
        assert not clients[0].poll(0)
    finally:
        context.destroy(linger=0)
    assert daemon.stop() == 0


def test_plain_tcp_that_leaves_the_host_is_said_at_every_start(start_daemon, stub_bank, small_good):
    publish = f'[publish]\nverdicts_tcp = "0.0.0.0:{free_port()}"\n'
    text = settings(stub_bank, camera_table("cam", small_good), extra=publish)
    refused = start_daemon(text)
    assert refused.process.wait(20) == 2
    assert "plain TCP is for this host only" in refused.log.read_text()
    daemon = start_daemon(f"{text}[security]\ninsecure = true\n").ready()
    warning = daemon.reader.event("insecure")
    assert warning.severity == "warning"
    assert warning.detail == "plain TCP to other hosts, without keys: publish.verdicts_tcp"
    assert daemon.stop() == 0
    assert "warning inspectd.service insecure" in daemon.log.read_text()
