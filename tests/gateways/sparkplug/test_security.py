"""Whom the gateway talks to: TLS, certificates, users, access lists; and no secret in what it says."""

from __future__ import annotations

import signal
import ssl
import subprocess
from pathlib import Path

import pytest
from support.daemon import Daemon, camera_table, settings
from support.ports import free_ports
from support.tools import run, tool

from inspectd import key_files
from inspectd.errors import InputError
from inspectd.gateways.sparkplug.broker import BrokerDoor
from inspectd.gateways.sparkplug.settings import BrokerLink
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import Role

pytestmark = pytest.mark.system  # Mosquitto is no part of the project

SECRET = "vessel-7-under-the-stairs"


@pytest.fixture(scope="module")
def line(start_shared_daemon, stub_bank, good_folder) -> Daemon:
    return start_shared_daemon(settings(stub_bank, camera_table("top", good_folder, fps=20))).ready()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and certificates of it with their keys; `stranger` is not of it."""
    folder = tmp_path_factory.mktemp("pki")

    def make(name: str, *more: str) -> None:
        made = run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key",
            "-out", f"{folder}/{name}.pem", *more,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout

    make("ca")
    by_ca = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-addext", "basicConstraints=CA:FALSE"]
    make("broker", *by_ca, "-addext", "subjectAltName=IP:127.0.0.1")
    make("elsewhere", *by_ca, "-addext", "subjectAltName=IP:192.0.2.1")
    make("gateway", *by_ca)
    make("stranger")
    return folder


def with_tls(pki: Path, server: str = "broker", client: str = "gateway") -> tuple[str, str]:
    """Mosquitto's options and the gateway's table."""
    broker = (
        f"cafile {pki}/ca.pem\ncertfile {pki}/{server}.pem\nkeyfile {pki}/{server}.key\n"
        "require_certificate true\nallow_anonymous true\n"
    )
    gateway = f'ca_file = "{pki}/ca.pem"\ncertificate = "{pki}/{client}.pem"\nkey = "{pki}/{client}.key"'
    return broker, gateway


def test_parts_are_told_over_tls_with_a_certificate_of_its_own(line, plant, certificates) -> None:
    options, table = with_tls(certificates)
    broker = plant.broker(options)
    context = ssl.create_default_context(cafile=f"{certificates}/ca.pem")
    context.load_cert_chain(f"{certificates}/gateway.pem", f"{certificates}/gateway.key")
    host = plant.host(broker, tls=context)
    gateway = plant.gateway(line, broker, broker=table)
    host.until(lambda: len(host.view.parts) > 5)
    assert gateway.stop() == 0


def test_a_key_that_may_read_is_all_it_needs_on_another_host(
    start_daemon, stub_bank, good_folder, plant, tmp_path: Path
) -> None:
    key_files.new_pair(tmp_path / "keys/server")
    public, _ = key_files.new_pair(tmp_path / "scada1")
    allowed = Client(key_files.read_public(public), "scada1", (Role.READ,))
    keys.write_allowed(tmp_path / "keys", [allowed])
    ports = dict(zip(("verdicts", "sync"), free_ports(2), strict=True))
    tcp = "".join(f'{name}_tcp = "127.0.0.1:{port}"\n' for name, port in ports.items())
    extra = f'[publish]\n{tcp}[security]\nkeys_dir = "{tmp_path}/keys"\n'
    daemon = start_daemon(settings(stub_bank, camera_table("top", good_folder, fps=20), extra=extra)).ready()
    bus = "\n".join(f'{name} = "tcp://127.0.0.1:{port}"' for name, port in ports.items())
    bus += '\nserver_key = "../keys/server.key"\nclient_key = "../scada1.key_secret"'
    broker = plant.broker()
    host = plant.host(broker)
    gateway = plant.gateway(daemon, broker, bus=bus)
    host.until(lambda: len(host.view.parts) > 5)
    cursor = gateway.file.parent / "state/cursor"
    host.until(cursor.exists)  # before that it begins with what comes
    gateway.stop(signal.SIGKILL)
    plant.gateway(daemon, broker, bus=bus)
    host.until(lambda: any(part["historical"] for part in host.view.parts[6:]))


@pytest.mark.parametrize(
    ("server", "client"), [("elsewhere", "gateway"), ("stranger", "gateway"), ("broker", "stranger")]
)
def test_a_certificate_that_is_not_the_expected_one_ends_it_before_a_word(
    line, plant, certificates, server, client
) -> None:
    options, table = with_tls(certificates, server, client)
    gateway = plant.gateway(line, plant.broker(options), broker=table)
    gateway.until_logged("broker_lost")
    assert gateway.stop() == 0
    assert "broker_connected" not in gateway.log.read_text()


def test_a_user_who_may_not_tell_and_a_wrong_password(line, plant, tmp_path: Path) -> None:
    """A broker drops what an access list forbids without a word, as MQTT 3.1.1 has it."""
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    hashed = subprocess.run(
        [tool("mosquitto_passwd"), "-b", "-c", str(passwords), "gateway", SECRET],
        check=True,
        capture_output=True,
    )
    assert hashed.returncode == 0
    acl.write_text("topic read spBv1.0/#\ntopic write spBv1.0/STATE/#\nuser gateway\ntopic read spBv1.0/#\n")
    broker = plant.broker(f"allow_anonymous true\npassword_file {passwords}\nacl_file {acl}\n")
    secret = tmp_path / "secret"
    table = f'tls = false\nuser = "gateway"\npassword_file = "{secret}"'
    secret.write_text("another\n")
    secret.chmod(0o600)
    gateway = plant.gateway(line, broker, broker=table)
    gateway.until_logged("broker_lost")
    assert "broker_connected" not in gateway.log.read_text()
    gateway.stop()
    secret.write_text(f"{SECRET}\n")
    host = plant.host(broker)
    gateway = plant.gateway(line, broker, broker=table)
    gateway.until_logged("broker_connected")
    host.until(lambda: "Denied PUBLISH" in broker.log.read_text())
    gateway.until_logged("broker_passes_nothing_on")
    assert host.view.log == []
    assert gateway.stop() == 0
    assert not (gateway.file.parent / "state/cursor").exists(), "what nobody was told is told later"
    assert SECRET not in gateway.log.read_text()


def test_files_of_secrets_are_refused_where_others_may_read_them(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    link = BrokerLink(tls=False, user="gateway", password_file=str(secret))
    with pytest.raises(InputError, match="mode 644, expected 600") as refused:
        BrokerDoor(link, "id")
    assert SECRET not in str(refused.value)
    secret.chmod(0o600)
    BrokerDoor(link, "id")
    for text in ("", "two\nlines\n"):
        secret.write_text(text)
        with pytest.raises(InputError, match="expected one line"):
            BrokerDoor(link, "id")
    with pytest.raises(InputError, match=r"broker\.ca_file .*cannot be used"):
        BrokerDoor(BrokerLink(ca_file=str(tmp_path / "none.pem")), "id")
