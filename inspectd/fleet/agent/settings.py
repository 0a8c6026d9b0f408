"""Settings of a line's agent, and of who publishes what lines should run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from inspectd import config
from inspectd.config import Name
from inspectd.config.program_files import load_program
from inspectd.fleet.agent.signing import problems_of_people
from inspectd.fleet.names import LineNames
from inspectd.fleet.settings import LINK_PATHS, ServersLink, link_problems
from inspectd.gateways import settings as common
from inspectd.gateways.settings import GatewayConfig, GatewayLine, GatewayMetricsSettings

_PATHS: Final = {**LINK_PATHS, "fleet": ("line_file", "state_dir")}


class AgentLine(GatewayLine, frozen=True, kw_only=True):
    """The line that the agent looks after."""

    @property
    def names(self) -> LineNames:
        """Its names on the servers."""
        return LineNames(self.plant, self.name)


class AgentSettings(config.Settings, frozen=True, kw_only=True):
    """What is fetched, and how it comes to the line."""

    line_file: Annotated[
        str,
        Meta(
            min_length=1,
            description="The line's own file: its cameras and its recipe store are found by it.",
        ),
    ] = "/etc/inspectd/line1.toml"
    state_dir: Annotated[
        str,
        Meta(
            description="Folder of the agent's own: what it accepted last, and what it fetches. Empty: as "
            "systemd gives it (StateDirectory=)."
        ),
    ] = ""
    max_mb: Annotated[
        float, Meta(ge=1, le=8192, description="Larger archives are refused. MB of 10^6 bytes.")
    ] = 2000.0
    min_free_mb: Annotated[
        float,
        Meta(ge=0, le=10_000_000, description="So much must stay free on the disks that it writes to."),
    ] = 2000.0
    poll_seconds: Annotated[
        float,
        Meta(ge=1, le=3600, description="How often servers are asked; a new entry is heard of at once."),
    ] = 30.0
    report_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="How often the line's report goes out, beside every change.")
    ] = 60.0
    load_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="Longest time for a recipe to be loaded.")
    ] = 300.0


class Signer(config.Settings, frozen=True, kw_only=True):
    """A person whose signature counts on this line."""

    name: Name
    key: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-f]{64}\Z",
            extra={"words": "64 of 0-9 and a-f"},
            description="The public key, of `inspectd fleet new-signer` (NAME.signer_public).",
        ),
    ]


class AgentMetricsSettings(GatewayMetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9470


class AgentConfig(GatewayConfig, frozen=True, kw_only=True):
    """A whole file of a line's agent."""

    line: AgentLine = AgentLine()
    servers: ServersLink = ServersLink()
    fleet: AgentSettings = AgentSettings()
    metrics: AgentMetricsSettings = AgentMetricsSettings()
    signers: tuple[Signer, ...] = ()

    @property
    def people(self) -> dict[str, str]:
        """Public keys of who is trusted, by name."""
        return {signer.name: signer.key for signer in self.signers}


class PublisherConfig(config.Settings, frozen=True, kw_only=True):
    """A whole file of who publishes."""

    servers: ServersLink = ServersLink()


def load(path: Path) -> AgentConfig:
    """Read the agent's file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return common.load(path, AgentConfig, _PATHS, _problems)


def load_publisher(path: Path) -> ServersLink:
    """Read the publisher's file.

    Raises:
        ConfigError: as `load`.
    """
    return load_program(path, PublisherConfig, LINK_PATHS, lambda found: link_problems(found.servers)).servers


def _problems(settings: AgentConfig) -> Iterator[str]:
    yield from link_problems(settings.servers)
    yield from problems_of_people([(signer.name, signer.key) for signer in settings.signers])
