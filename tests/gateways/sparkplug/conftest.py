"""A broker, a host application, and gateways between them and a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.mqtt_broker import PLAIN, Mosquitto, Scada
from support.sparkplug_gateway import SparkplugGateway, sparkplug_file


class Plant:
    """Starts brokers, hosts and gateways of one test, and ends them after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = ExitStack()

    def broker(self, options: str = PLAIN, folder: str = "broker") -> Mosquitto:
        (self.folder / folder).mkdir()
        broker = Mosquitto(self.folder / folder, options).start()
        self._open.callback(broker.close)
        return broker

    def host(self, broker: Mosquitto, **more: Any) -> Scada:
        host = Scada(broker, **more)
        self._open.callback(host.close)
        return host

    def gateway(
        self, line: Daemon, *brokers: Mosquitto, broker: str = "tls = false", node: str = "", bus: str = ""
    ) -> SparkplugGateway:
        text = sparkplug_file(line, *brokers, broker=broker, node=node, bus=bus)
        gateway = SparkplugGateway(self.folder / "gateway", text)
        self._open.callback(gateway.close)
        return gateway

    def close(self) -> None:
        """End all of them, also where one of them says that something was wrong."""
        self._open.close()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.close()
