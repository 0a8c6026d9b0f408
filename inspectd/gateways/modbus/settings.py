"""The settings of the Modbus TCP gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from inspectd.config import Host, Settings
from inspectd.gateways import settings as common
from inspectd.gateways.settings import HandshakeConfig

_IP: str = "an IP address such as 192.168.0.10"


class ModbusSettings(Settings, frozen=True, kw_only=True):
    """The Modbus TCP server that the PLC connects to."""

    host: Annotated[Host, Meta(description="Address to listen on: that of the plant's network.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 502 is that of Modbus.")] = 502
    plc: Annotated[
        str, Meta(description="IP address of the PLC: the only one that may write and so trigger parts.")
    ] = "127.0.0.1"
    readers: Annotated[
        tuple[str, ...], Meta(description="IP addresses that may read, such as that of an operator panel.")
    ] = ()
    max_connections: Annotated[
        int, Meta(ge=1, le=256, description="Connections at a time, of all clients together.")
    ] = 8
    idle_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="A connection without a request for so long is ended.")
    ] = 30.0


class ModbusConfig(HandshakeConfig, frozen=True, kw_only=True):
    """A whole file of the gateway."""

    modbus: ModbusSettings = ModbusSettings()


def load(path: Path) -> ModbusConfig:
    """Read the gateway's file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return common.load(path, ModbusConfig, own_problems=lambda found: _address_problems(found.modbus))


def _address_problems(modbus: ModbusSettings) -> Iterator[str]:
    named = {"plc": modbus.plc} | {f"readers[{at}]": reader for at, reader in enumerate(modbus.readers)}
    for name, text in named.items():
        try:
            ipaddress.ip_address(text)
        except ValueError:
            yield f"modbus.{name}: got {text!r}, expected {_IP}"
