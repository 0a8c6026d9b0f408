"""Whom the gateway talks to: TLS, certificates, users, access lists; and no secret in what it says."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from support.daemon import Daemon, camera_table, settings
from support.ports import free_ports
from support.sparkplug_gateway import SparkplugGateway
from support.sparkplug_host import decode
from support.tools import run, tool

from inspectd import key_files
from inspectd.client import Position
from inspectd.client import cursor as cursors
from inspectd.errors import InputError
from inspectd.gateways.sparkplug.broker import BrokerDoor
from inspectd.gateways.sparkplug.settings import BrokerLink
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import Role

pytestmark = pytest.mark.system  # Mosquitto is no part of the project

SECRET = "vessel-7-under-the-stairs"


@pytest.fixture(scope="module")
def line(start_shared_daemon, stub_bank, small_good) -> Daemon:
    return start_shared_daemon(settings(stub_bank, camera_table("top", small_good, fps=20))).ready()


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


def test_a_certificate_that_is_renewed_is_used_for_the_next_connection(
    line, plant, certificates, tmp_path: Path
) -> None:
    options, table = with_tls(certificates)
    own = [tmp_path / "own.pem", tmp_path / "own.key"]

    def renew(name: str) -> None:
        for file in own:
            shutil.copy(certificates / f"{name}{file.suffix}", file)

    renew("stranger")
    table = table.replace(f"{certificates}/gateway", f"{tmp_path}/own")
    broker = plant.broker(options)
    gateway = plant.gateway(line, broker, broker=table)
    gateway.until_logged("broker_lost")
    own[1].write_text("half of a key")  # what cannot be used is said, and does not end it
    gateway.until_logged("expected two PEM files that match")
    renew("gateway")
    gateway.until_logged("broker_connected")
    assert gateway.stop() == 0


def test_a_key_that_may_read_is_all_it_needs_on_another_host(
    start_daemon, stub_bank, small_good, plant, tmp_path: Path
) -> None:
    key_files.new_pair(tmp_path / "keys/server")
    public, _ = key_files.new_pair(tmp_path / "scada1")
    allowed = Client(key_files.read_public(public), "scada1", (Role.READ,))
    keys.write_allowed(tmp_path / "keys", [allowed])
    ports = dict(zip(("verdicts", "sync"), free_ports(2), strict=True))
    tcp = "".join(f'{name}_tcp = "127.0.0.1:{port}"\n' for name, port in ports.items())
    extra = f'[publish]\n{tcp}[security]\nkeys_dir = "{tmp_path}/keys"\n'
    daemon = start_daemon(settings(stub_bank, camera_table("top", small_good, fps=20), extra=extra)).ready()
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


class Rights:
    """A broker's access list, and the gateway's table for it; the user may publish nothing at first."""

    def __init__(self, plant, folder: Path) -> None:
        passwords, self._acl, self.secret = folder / "passwords", folder / "acl", folder / "secret"
        subprocess.run(
            [tool("mosquitto_passwd"), "-b", "-c", str(passwords), "gateway", SECRET],
            check=True,
            capture_output=True,
        )
        self.secret.write_text(f"{SECRET}\n")
        self.secret.chmod(0o600)
        self.table = f'tls = false\nuser = "gateway"\npassword_file = "{self.secret}"'
        self._write()
        self.broker = plant.broker(f"allow_anonymous true\npassword_file {passwords}\nacl_file {self._acl}\n")

    def let_publish(self, *topics: str) -> None:
        """Let the user publish to these topics alone, from now on."""
        self._write(*topics)
        self.broker.reload()

    def denied(self, topic: str) -> int:
        """How many messages of a topic the broker has dropped."""
        return sum(
            "Denied PUBLISH" in each and topic in each for each in self.broker.log.read_text().splitlines()
        )

    def _write(self, *topics: str) -> None:
        lines = [
            "topic read spBv1.0/#",
            "topic write spBv1.0/STATE/#",
            "user gateway",
            "topic read spBv1.0/#",
        ]
        self._acl.write_text("\n".join([*lines, *(f"topic write {topic}" for topic in topics), ""]))


def test_a_user_who_may_not_tell_and_a_wrong_password(line, plant, tmp_path: Path) -> None:
    """A broker drops what an access list forbids without a word, as MQTT 3.1.1 has it."""
    rights = Rights(plant, tmp_path)
    broker, table, secret = rights.broker, rights.table, rights.secret
    secret.write_text("another\n")
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
    first = position(gateway).seq + 1
    assert SECRET not in gateway.log.read_text()
    rights.let_publish("spBv1.0/demo/+/line1/#")
    plant.gateway(line, broker, broker=table)
    host.until(lambda: any(not part["historical"] for part in host.view.parts))
    assert host.view.parts[0]["Seq"] == first, "what nobody was told is told later"


def test_rights_that_are_missing_or_taken_away_lose_no_part(line, plant, tmp_path: Path) -> None:
    rights = Rights(plant, tmp_path)
    rights.let_publish("spBv1.0/demo/+/line1")  # the node's births, and nothing of devices
    host = plant.host(rights.broker)
    host.view.may_lack = True
    # A report of the node would show the host numbers that are missing.
    gateway = plant.gateway(line, rights.broker, broker=rights.table, node="report_seconds = 60")
    gateway.until_logged("broker_passes_nothing_on")
    first = position(gateway).seq + 1
    assert host.view.parts == []
    everything = "spBv1.0/demo/+/line1", "spBv1.0/demo/+/line1/#"
    rights.let_publish(*everything)
    host.until(lambda: any(not part["historical"] for part in host.view.parts))
    assert host.view.parts[0]["Seq"] == first
    host.until(lambda: position(gateway).seq > first)

    rights.let_publish()
    host.until(lambda: gateway.log.read_text().count("broker_passes_nothing_on") == 2)
    told, denied = len(host.view.parts), rights.denied("DBIRTH/line1/parts")
    host.until(lambda: rights.denied("DBIRTH/line1/parts") > denied)  # no births are under way now
    assert position(gateway).seq <= host.view.parts[-1]["Seq"]
    rights.let_publish(*everything)
    host.until(lambda: any(not part["historical"] for part in host.view.parts[told:]))
    assert host.view.parts[told]["historical"]
    numbers = {part["Seq"] for part in host.view.parts}
    assert numbers == {*range(first, max(numbers) + 1)}
    assert gateway.log.read_text().count("broker_connected") == 1, "it went on by itself"


def test_parts_that_were_dropped_in_between_are_told_again(line, plant, tmp_path: Path) -> None:
    """Too short for a silence: parts come back again, and some before them did not."""
    rights = Rights(plant, tmp_path)
    rights.let_publish("spBv1.0/demo/+/line1/#")
    told: list[tuple[int, bool]] = []
    aliases: dict[str, int] = {}

    def take(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        metrics = decode(message.payload).metrics
        aliases.update({metric.name: metric.alias for metric in metrics if metric.name})
        of_seq = (metric for metric in metrics if not metric.name and metric.alias == aliases["Seq"])
        told.extend((metric.long_value, metric.is_historical) for metric in of_seq)

    host = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)  # to which missing numbers are no fault
    host.on_message = take
    host.connect("127.0.0.1", rights.broker.port)
    host.subscribe([(f"spBv1.0/demo/{kind}/line1/parts", 0) for kind in ("DBIRTH", "DDATA")])
    host.loop_start()
    gateway = plant.gateway(line, rights.broker, broker=rights.table)
    line.until(lambda: len(told) > 5)
    rights.let_publish("spBv1.0/demo/+/line1")
    line.until(lambda: rights.denied("DDATA/line1/parts") > 5)
    last = told[-1][0]
    rights.let_publish("spBv1.0/demo/+/line1/#")
    line.until(lambda: {(number, True) for number in range(last + 1, last + 6)} <= {*told})
    host.loop_stop()
    assert gateway.log.read_text().count("broker_connected") == 1


def position(gateway: SparkplugGateway) -> Position:
    """Up to where the gateway knows that hosts were told."""
    cursor = cursors.read(gateway.file.parent / "state/cursor")
    assert cursor is not None
    return cursor.position


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
