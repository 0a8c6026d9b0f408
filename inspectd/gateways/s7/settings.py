"""The settings of the S7 gateway."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from inspectd.config import Host, Settings
from inspectd.gateways import settings as common
from inspectd.gateways.settings import GatewayMetricsSettings, HandshakeConfig

DataBlock = Annotated[int, Meta(ge=1, le=65_535)]


class ConnectionKind(StrEnum):
    """Which of the PLC's connections is taken."""

    PG = "pg"
    OP = "op"
    BASIC = "basic"


class S7Settings(Settings, frozen=True, kw_only=True):
    """The PLC that the gateway connects to."""

    host: Annotated[
        Host, Meta(description="IP address of the PLC's Ethernet interface.")
    ] = "192.168.0.1"  # fmt: skip
    port: Annotated[int, Meta(ge=1, le=65_535, description="TCP port; 102 is that of S7.")] = 102
    rack: Annotated[int, Meta(ge=0, le=7, description="Rack of the CPU, as the hardware has it.")] = 0
    slot: Annotated[
        int, Meta(ge=0, le=31, description="Slot of the CPU: 2 of an S7-300, 1 of an S7-1200 or S7-1500.")
    ] = 1
    connection: Annotated[
        ConnectionKind,
        Meta(description="Which of its connections is taken: basic (S7), op (panel), or pg (engineering)."),
    ] = ConnectionKind.BASIC
    control_db: Annotated[DataBlock, Meta(description="Data block that the PLC's program writes.")] = 100
    status_db: Annotated[DataBlock, Meta(description="Data block that the gateway writes.")] = 101
    poll_ms: Annotated[
        float,
        Meta(ge=2, le=200, description="Time from the begin of one turn, a read and a write, to the next."),
    ] = 10.0
    timeout_ms: Annotated[
        float, Meta(ge=20, le=10_000, description="A PLC that does not answer for so long is disconnected.")
    ] = 500.0


class S7MetricsSettings(GatewayMetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9468


class S7Config(HandshakeConfig, frozen=True, kw_only=True):
    """A whole file of the gateway."""

    s7: S7Settings = S7Settings()
    metrics: S7MetricsSettings = S7MetricsSettings()


def load(path: Path) -> S7Config:
    """Read the gateway's file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return common.load(path, S7Config, own_problems=_problems)


def _problems(settings: S7Config) -> Iterator[str]:
    if settings.s7.control_db == settings.s7.status_db:
        yield f"s7.status_db: got {settings.s7.status_db}, which is s7.control_db, expected another block"
    if not settings.handshake.plc_heartbeat:
        yield (
            "handshake.plc_heartbeat: got false, expected true: the data blocks of a CPU in STOP can be read "
            "as before, and its heartbeat alone shows that its program runs"
        )
    if settings.handshake.plc_timeout_ms < 5 * settings.s7.poll_ms:
        yield (
            f"handshake.plc_timeout_ms: got {settings.handshake.plc_timeout_ms:g}, expected at least 5 times "
            f"s7.poll_ms, {5 * settings.s7.poll_ms:g}"
        )
