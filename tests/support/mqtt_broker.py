"""Mosquitto for tests, and a host application on it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from support.ports import free_port
from support.sparkplug_host import HostView, command

_TOLD = ("NBIRTH", "NDEATH", "NDATA", "DBIRTH", "DDEATH", "DDATA")
PLAIN = "allow_anonymous true\n"


class Mosquitto:
    """A broker on a port of the loopback interface.

    Args:
        folder: for its configuration and log.
        options: lines of its configuration beside the listener.
    """

    def __init__(self, folder: Path, options: str = PLAIN) -> None:
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        self._file = folder / "mosquitto.conf"
        # Else it becomes the user mosquitto, who may not read the tests' folders.
        self._file.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{options}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        """Start it, also again, and wait until it listens."""
        path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert path is not None, "mosquitto is not installed: run tools/install_debian_packages.sh"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([path, "-v", "-c", str(self._file)], stdout=log, stderr=log)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, self.log.read_text()[-2000:]
                assert time.monotonic() < end, "mosquitto does not listen"
                time.sleep(0.02)
            else:
                return self

    def reload(self) -> None:
        """Have it read its access list again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stall(self, seconds: float) -> None:
        """Have it do nothing for a while, as on a host that is out of memory."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it at once, with all that it knows; `start` starts it again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Scada:
    """A host application: says whether it is there, commands, and judges all that the edge node sends."""

    def __init__(self, broker: Mosquitto, name: str = "scada", *, tls: Any = None) -> None:
        self.view = HostView()
        self.problems: list[str] = []
        self.raw: list[tuple[str, bytes, float]] = []
        """Topic, payload and time of arrival."""
        self.is_late = False
        """It came when the node was born already, and understands nothing before the next births."""
        self.is_primary = False
        """It says that it is there whenever it connects."""
        self._port = broker.port
        self._state = f"spBv1.0/STATE/{name}"
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def says(self, *, online: bool, at_ms: int | None = None) -> None:
        """Publish its state, retained."""
        state = self._said(online=online, at_ms=at_ms)
        self._client.publish(self._state, state, qos=1, retain=True).wait_for_publish(5)

    @staticmethod
    def _said(*, online: bool, at_ms: int | None = None) -> str:
        now_ms = time.time_ns() // 1_000_000
        return json.dumps({"online": online, "timestamp": now_ms if at_ms is None else at_ms})

    def command(self, payload: bytes = command(), node: str = "line1") -> None:
        """Send a command; a request for births if nothing else is given."""
        self._client.publish(f"spBv1.0/demo/NCMD/{node}", payload).wait_for_publish(5)

    def flood(self, seconds: float, node: str = "line1") -> None:
        """Send some 10,000 requests for births a second."""
        topic = f"spBv1.0/demo/NCMD/{node}".encode()
        body = len(topic).to_bytes(2) + topic + command()
        assert len(body) < 128, "its length takes one byte"
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="flood")
        client.connect("127.0.0.1", self._port)
        client.socket().setblocking(True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client.socket().sendall((b"\x30" + len(body).to_bytes() + body) * 100)
            time.sleep(0.01)
        client.socket().close()

    def until(self, condition: Callable[[], Any], timeout_seconds: float = 20.0) -> None:
        """Wait until a condition holds, and nothing was against the rules."""
        end = time.monotonic() + timeout_seconds
        while not condition():
            assert not self.problems, self.problems
            assert time.monotonic() < end, (
                f"not within {timeout_seconds} s: {self.view.log} {self.view.counts}"
            )
            time.sleep(0.01)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
        assert not self.problems, self.problems

    def _subscribe(self, client: Any, *_: Any) -> None:
        client.subscribe([(f"spBv1.0/demo/{kind}/#", 1) for kind in _TOLD])
        if self.is_primary:
            client.publish(self._state, self._said(online=True), qos=1, retain=True)

    def _take(self, _client: Any, _data: Any, message: Any) -> None:
        if self.is_late and self.view.bd_seq is None and "/NBIRTH/" not in message.topic:
            return
        self.raw.append((message.topic, message.payload, time.time()))
        try:
            self.view.take(message.topic, message.payload, qos=message.qos, retain=message.retain)
        except Exception as error:  # noqa: BLE001 - the client's thread would swallow it: the test says it
            self.problems.append(f"{message.topic}: {error!r}")
