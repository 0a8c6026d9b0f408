"""Settings of what connects a line to the plant's servers, and the reader of the forwarder's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from inspectd import config
from inspectd.config.program_files import endpoint, socket_problems
from inspectd.fleet.names import LineNames
from inspectd.gateways import settings as common
from inspectd.gateways.settings import GatewayConfig, GatewayMetricsSettings, ReadLine

LINK_PATHS: Final = {"servers": ("ca_file", "seed_file", "credentials_file")}
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}

_Url = Annotated[str, Meta(min_length=1, max_length=300)]


class ForwardedLine(ReadLine, frozen=True, kw_only=True):
    """The line whose verdicts are forwarded."""

    heatmaps: Annotated[
        str, Meta(description="Its socket for heatmaps. Empty: heatmaps.sock beside a local verdicts.sock.")
    ] = ""
    previews: Annotated[
        str, Meta(description="Its socket for previews. Empty: previews.sock beside a local verdicts.sock.")
    ] = ""

    @property
    def names(self) -> LineNames:
        """Its names on the servers."""
        return LineNames(self.plant, self.name)

    @property
    def sync_socket(self) -> str:
        """Where replays are asked for."""
        return endpoint(self, "sync")


class ServersLink(config.Settings, frozen=True, kw_only=True):
    """The plant's NATS servers, of which one is used at a time."""

    addresses: Annotated[
        tuple[_Url, ...],
        Meta(
            min_length=1, max_length=9, description='All servers, such as ["tls://nats1.plant.example:4222"].'
        ),
    ] = ("tls://nats1.plant.example:4222", "tls://nats2.plant.example:4222", "tls://nats3.plant.example:4222")
    ca_file: Annotated[
        str | None, Meta(description="PEM file of who signed their certificates. Unset: the system's.")
    ] = None
    seed_file: Annotated[
        str | None,
        Meta(description="File of this user's NKEY, of `inspectd forward new-key`, mode 0600. Unset: a JWT."),
    ] = None
    credentials_file: Annotated[
        str | None,
        Meta(description="File of this user's JWT and its key (.creds), mode 0600. Unset: an NKEY."),
    ] = None


class PlantServers(ServersLink, frozen=True, kw_only=True):
    """The plant's NATS servers, of which one is used at a time."""

    monitors: Annotated[
        tuple[_Url, ...],
        Meta(
            min_length=1, max_length=9,
            description="Where each of them reports how it is. A server that does not say there that it "
            "flushes every message is not forwarded to.",
        ),
    ] = (
        "https://nats1.plant.example:8222",
        "https://nats2.plant.example:8222",
        "https://nats3.plant.example:8222",
    )  # fmt: skip


class ForwardSettings(config.Settings, frozen=True, kw_only=True):
    """What is forwarded, and how."""

    window: Annotated[
        int, Meta(ge=1, le=2000, description="Verdicts under way that no server has acknowledged yet.")
    ] = 200
    acknowledge_seconds: Annotated[
        float, Meta(ge=0.5, le=60, description="Longest wait for an acknowledgement; then all is sent again.")
    ] = 5.0
    heatmaps: Annotated[
        bool, Meta(description="Forward heatmaps too, as far as it goes: none is sent a second time.")
    ] = True
    thumbnails: Annotated[
        bool,
        Meta(description="Forward previews too, likewise. The line makes previews only while they are read."),
    ] = False
    extras_mb: Annotated[
        float,
        Meta(ge=1, le=1000, description="Heatmaps and previews that wait; the oldest go first. MB of 10^6."),
    ] = 16.0
    extras_per_second: Annotated[
        float,
        Meta(
            ge=0.1, le=1000, description="Heatmaps and previews together, at most so many; more are dropped."
        ),
    ] = 20.0
    compare_minutes: Annotated[
        float, Meta(ge=0.05, le=1440, description="How often the stream is searched for verdicts it lacks.")
    ] = 60.0


class ForwardMetricsSettings(GatewayMetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9469


class ForwardConfig(GatewayConfig, frozen=True, kw_only=True):
    """A whole file of the forwarder."""

    line: ForwardedLine = ForwardedLine()
    servers: PlantServers = PlantServers()
    forward: ForwardSettings = ForwardSettings()
    metrics: ForwardMetricsSettings = ForwardMetricsSettings()


def load(path: Path) -> ForwardConfig:
    """Read the forwarder's file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return common.load(path, ForwardConfig, LINK_PATHS, _problems)


def _problems(settings: ForwardConfig) -> Iterator[str]:
    forward = settings.forward
    yield from socket_problems(settings.line, {"heatmaps": forward.heatmaps, "previews": forward.thumbnails})
    yield from _server_problems(settings.servers)


def link_problems(servers: ServersLink) -> Iterator[str]:
    """What does not fit together of how servers are reached."""
    for index, text in enumerate(servers.addresses):
        if not _is_url(text, "tls"):
            yield (
                f"servers.addresses[{index}]: got {text!r}, expected tls://HOST:PORT such as "
                "tls://nats1.plant.example:4222; connections without TLS are not made"
            )
    if (servers.seed_file is None) == (servers.credentials_file is None):
        both = servers.seed_file is not None
        yield (
            f"servers.seed_file, servers.credentials_file: {'both are' if both else 'none is'} set, "
            "expected one: `inspectd forward new-key NAME` makes a key"
        )


def _server_problems(servers: PlantServers) -> Iterator[str]:
    yield from link_problems(servers)
    for index, text in enumerate(servers.monitors):
        if not _is_url(text, "https") and not (
            _is_url(text, "http") and urlsplit(text).hostname in _LOOPBACK
        ):
            yield (
                f"servers.monitors[{index}]: got {text!r}, expected https://HOST:PORT such as "
                "https://nats1.plant.example:8222"
            )
    if len(servers.monitors) < len(servers.addresses):
        yield (
            f"servers.monitors: got {len(servers.monitors)} for {len(servers.addresses)} servers.addresses, "
            "expected one for each server: what a server does with what it acknowledges has to be known"
        )


def _is_url(text: str, scheme: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme == scheme
            and bool(url.hostname)
            and bool(url.port)
            and url.path in {"", "/"}
            and "@" not in text
        )
    except ValueError:  # a port that is none
        return False
