from __future__ import annotations

import os

import pytest

from inspectd import key_files
from inspectd.errors import InputError
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import Role

GOOD, OTHER = "0" * 40, "1" * 40


def mode(path):
    return path.stat().st_mode & 0o777


def test_a_pair_is_two_files_and_the_secret_is_its_owners_alone(tmp_path):
    public, secret = key_files.new_pair(tmp_path / "new" / "gate1")
    assert (public.name, secret.name) == ("gate1.key", "gate1.key_secret")
    assert mode(secret) == 0o600
    found = key_files.read_pair(secret)
    assert found.public == key_files.read_public(public) == key_files.read_public(secret)
    assert found.secret.decode() not in public.read_text()
    assert sorted(path.name for path in public.parent.iterdir()) == ["gate1.key", "gate1.key_secret"]


@pytest.mark.parametrize("suffix", [".key", ".key_secret"])
def test_a_key_is_never_overwritten(tmp_path, suffix):
    (tmp_path / f"gate1{suffix}").write_text("mine")
    with pytest.raises(InputError, match="never overwritten"):
        key_files.new_pair(tmp_path / "gate1")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o660, 0o620])
def test_a_secret_that_others_may_touch_is_refused(tmp_path, bits):
    _, secret = key_files.new_pair(tmp_path / "gate1")
    secret.chmod(bits)
    with pytest.raises(InputError, match=f"has mode {bits:o}, expected 600; run `chmod 600 {secret}`"):
        key_files.read_pair(secret)


def test_what_is_no_key_file_is_said_so(tmp_path):
    public, secret = key_files.new_pair(tmp_path / "gate1")
    with pytest.raises(InputError, match="holds a public key only"):
        key_files.read_pair(public)
    with pytest.raises(InputError, match="cannot be read: not found"):
        key_files.read_public(tmp_path / "nowhere.key")
    bad = tmp_path / "bad.key"
    bad.write_bytes(os.urandom(200).replace(b"public-key", b""))
    with pytest.raises(InputError, match="holds no key"):
        key_files.read_public(bad)
    bad.write_text('public-key = "abc"')
    with pytest.raises(InputError, match="not a key, expected 40"):
        key_files.read_public(bad)
    other, _ = key_files.new_pair(tmp_path / "other")
    secret.write_text(
        secret.read_text().replace(
            key_files.read_public(public).decode(), key_files.read_public(other).decode()
        )
    )
    with pytest.raises(InputError, match="do not belong together"):
        key_files.read_pair(secret)


def test_the_servers_pair_comes_from_systemds_credentials_first(tmp_path, monkeypatch):
    key_files.new_pair(tmp_path / "keys" / "server")
    _, credential = key_files.new_pair(tmp_path / "credentials" / "server")
    credential.chmod(0o440)  # systemd grants its user access by a list that shows so
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credential.parent))
    assert keys.read_server_pair(tmp_path / "keys").public == key_files.read_public(credential)
    credential.unlink()
    assert keys.read_server_pair(tmp_path / "keys").public != b""


def test_the_list_survives_writing_and_reading(tmp_path):
    clients = [
        Client(key_files.read_public(key_files.new_pair(tmp_path / f"c{n}")[0]), f"c{n}", roles)
        for n, roles in enumerate([(Role.READ,), (Role.CONTROL,), (Role.READ, Role.CONTROL)])
    ]
    assert keys.read_allowed(tmp_path) == []
    keys.write_allowed(tmp_path, clients)
    assert keys.read_allowed(tmp_path) == clients
    (tmp_path / keys.ALLOWED).chmod(0o664)
    with pytest.raises(InputError, match="has mode 664, expected 644"):
        keys.read_allowed(tmp_path)
    (tmp_path / keys.ALLOWED).chmod(0o644)
    tmp_path.chmod(0o775)
    with pytest.raises(InputError, match="has mode 775, expected 755"):
        keys.read_allowed(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("read", "got 1 words, expected roles, key and name"),
        (f"write {'0' * 40} name", "got roles 'write', expected some of read, control"),
        ("read abc name", "got a key of 3 characters, expected 40 Z85 characters"),
        (f"read {'~' * 40} name", "expected 40 Z85 characters"),
        (f"read {'#' * 40} name", "expected 40 Z85 characters"),
        ("read \xfc name", "is not UTF-8 text"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_costs_its_own_key_alone(tmp_path, line, problem):
    (tmp_path / keys.ALLOWED).write_text(
        f"# fine\n\n{line}\nread {GOOD} gate1\n", encoding="latin-1" if "\xfc" in line else "utf-8"
    )
    found = keys.read_list(tmp_path)
    assert [client.name for client in found.clients] == ["gate1"]
    (said,) = found.problems
    assert said.startswith(f"{tmp_path / keys.ALLOWED}, line 3: ")
    assert problem in said
    with pytest.raises(InputError, match=r"allowed_keys, line 3"):
        keys.read_allowed(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"read {GOOD} gate1\n",
        f"#read {OTHER} gate2\nread {GOOD} gate1\n",
        f"#Halle 3: Pr\xfcfstand\r\nread {GOOD} gate1\r\n",
        f"\ufeff# by Notepad\nread {GOOD} gate1\n",
        f"read {GOOD} gate1  # until June\n",
        f"  # indented\n\n\tread {GOOD} gate1",
    ],
)
def test_the_list_may_be_written_by_hand(tmp_path, text):
    file = tmp_path / keys.ALLOWED
    file.write_bytes(text.encode())
    assert keys.read_allowed(tmp_path) == [Client(GOOD.encode(), "gate1", (Role.READ,))]
    more = Client(OTHER.encode(), "gate2", (Role.CONTROL,))
    keys.write_allowed(tmp_path, [*keys.read_allowed(tmp_path), more])
    assert [client.name for client in keys.read_allowed(tmp_path)] == ["gate1", "gate2"]
    comments = [line.strip() for line in text.removeprefix("\ufeff").splitlines() if "#" in line]
    assert [line for line in file.read_text().splitlines() if "#" in line] == comments
    keys.write_allowed(tmp_path, [more])
    assert keys.read_allowed(tmp_path) == [more]
