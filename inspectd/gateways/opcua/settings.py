"""The settings of the OPC UA gateway."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from inspectd.config import Host, Name, Settings
from inspectd.gateways import settings as common
from inspectd.gateways.settings import GatewayConfig, GatewayLine, GatewayMetricsSettings

USERS_COMMAND: Final = "inspectd opcua password"
"""What makes the file of users."""
_PATHS: Final = {"opcua": ("certificates", "users_file")}


class PlantRole(StrEnum):
    """What a user may do; each may do what those before it may."""

    OBSERVER = "observer"
    """Read and subscribe, and ask for results and recipes."""
    OPERATOR = "operator"
    """Start and stop jobs."""
    ENGINEER = "engineer"
    """Prepare and release recipes."""
    ADMIN = "admin"
    """Nothing more yet: keys and users are managed by commands."""


class OpcUaSettings(Settings, frozen=True, kw_only=True):
    """The OPC UA server that clients connect to, and who may."""

    host: Annotated[Host, Meta(description="Address to listen on: that of the plant's network.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 4840 is that of OPC UA.")] = 4840
    certificates: Annotated[
        str,
        Meta(
            min_length=1,
            description="Folder of own.pem and own-key.pem, with trusted/ and rejected/ for clients: "
            "`inspectd opcua keys`.",
        ),
    ] = "opcua"
    users_file: Annotated[
        str,
        Meta(
            min_length=1, description="File of users' password hashes, mode 600: `inspectd opcua password`."
        ),
    ] = "opcua.users"
    users: Annotated[
        dict[Name, PlantRole] | None,
        Meta(
            description="Role of each user: observer, operator, engineer or admin. Unset: nobody can log in."
        ),
    ] = None
    continuous: Annotated[
        bool,
        Meta(
            description="Tell every part that the line judges, whoever triggered it, without StartContinuous."
        ),
    ] = False
    answer_ms: Annotated[
        float,
        Meta(
            ge=5, le=60_000,
            description="Longest time from StartSingleJob to the line's answer; with the line's window_ms it "
            "must be shorter than a part stays before the camera.",
        ),
    ] = 100.0  # fmt: skip
    max_connections: Annotated[
        int, Meta(ge=1, le=256, description="Connections at a time, of all clients together.")
    ] = 16
    max_subscriptions: Annotated[
        int, Meta(ge=1, le=4096, description="Subscriptions at a time, of all clients together.")
    ] = 64


class OpcUaMetricsSettings(GatewayMetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9472


class OpcUaConfig(GatewayConfig, frozen=True, kw_only=True):
    """A whole file of the gateway."""

    line: GatewayLine = GatewayLine()
    opcua: OpcUaSettings = OpcUaSettings()
    metrics: OpcUaMetricsSettings = OpcUaMetricsSettings()


def load(path: Path) -> OpcUaConfig:
    """Read the gateway's file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return common.load(path, OpcUaConfig, _PATHS)
