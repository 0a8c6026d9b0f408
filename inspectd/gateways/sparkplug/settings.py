"""Settings of the Sparkplug gateway, and the reader of its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from inspectd import config
from inspectd.config.places import default_state_dir
from inspectd.gateways import settings as common
from inspectd.gateways.settings import GatewayConfig, GatewayMetricsSettings

_ID: Final = r"^[^/+#\x00-\x1f]{1,128}\Z"
Id = Annotated[
    str, Meta(pattern=_ID, examples=["line1"], description="Letters, digits and others, but no / + #.")
]
"""An id on the broker: `/`, `+` and `#` have a meaning of their own there."""

_PATHS: Final = {
    "broker": ("ca_file", "certificate", "key", "password_file"),
    "sparkplug": ("state_dir",),
}
_DEFAULT_PORTS: Final = {False: 1883, True: 8883}


class BrokerLink(config.Settings, frozen=True, kw_only=True):
    """The MQTT broker, or several of which one is used at a time."""

    servers: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(min_length=1, max_length=8, description='Brokers in turn, such as ["mqtt.plant.example:8883"].'),
    ] = ("127.0.0.1:8883",)
    tls: Annotated[bool, Meta(description="Encrypt, and check the broker's certificate.")] = True
    ca_file: Annotated[
        str | None, Meta(description="PEM file of who signed its certificate. Unset: the system's.")
    ] = None
    certificate: Annotated[
        str | None, Meta(description="PEM file of this client's certificate. Unset: it has none.")
    ] = None
    key: Annotated[str | None, Meta(description="PEM file of the certificate's private key.")] = None
    user: Annotated[
        Annotated[str, Meta(min_length=1)] | None, Meta(description="Name of the MQTT user. Unset: none.")
    ] = None
    password_file: Annotated[
        str | None, Meta(description="File of its password alone, mode 0600. Unset: no password.")
    ] = None
    client_id: Annotated[
        str, Meta(max_length=128, description="MQTT client id. Empty: inspectd-GROUP-NODE.")
    ] = ""
    keepalive_seconds: Annotated[
        int, Meta(ge=2, le=600, description="A broker that is silent for longer is gone.")
    ] = 10
    host_wait_seconds: Annotated[
        float,
        Meta(ge=1, le=3600, description="With several brokers: how long to wait for the host at each."),
    ] = 30.0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each broker; problems were found by `load`."""
        return [_address(text, tls=self.tls) for text in self.servers]


class EdgeNodeSettings(config.Settings, frozen=True, kw_only=True):
    """The edge node that the line is to host applications."""

    group: Annotated[Id, Meta(description="Group id: as a rule the plant. No / + #.")] = "plant"
    node: Annotated[Id, Meta(description="Edge node id: as a rule the line. No / + #.")] = "line1"
    primary_host: Annotated[
        Id | None,
        Meta(description="Host id of the SCADA system that must be online. Unset: none must."),
    ] = None
    report_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="Counts and heartbeat are told at most so often.")
    ] = 5.0
    data_types: Annotated[
        bool,
        Meta(
            description="Say data types in data messages too: some hosts read them as null without. "
            "The specification needs them in births alone."
        ),
    ] = True
    resend_per_second: Annotated[
        float, Meta(ge=1, le=10_000, description="Parts told late are sent at most so fast.")
    ] = 500.0
    state_dir: Annotated[
        str,
        Meta(description="Directory of its position and its number of deaths. Empty: $STATE_DIRECTORY."),
    ] = ""

    @property
    def state_path(self) -> Path:
        """The directory of its state.

        Raises:
            UnavailableError: `state_dir` is empty and the system provides no directory.
        """
        return Path(self.state_dir) if self.state_dir else default_state_dir(self.group, self.node)


class SparkplugMetricsSettings(GatewayMetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9466


class SparkplugConfig(GatewayConfig, frozen=True, kw_only=True):
    """A whole file of the gateway."""

    broker: BrokerLink = BrokerLink()
    sparkplug: EdgeNodeSettings = EdgeNodeSettings()
    metrics: SparkplugMetricsSettings = SparkplugMetricsSettings()


def load(path: Path) -> SparkplugConfig:
    """Read the gateway's file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return common.load(path, SparkplugConfig, _PATHS, lambda found: _broker_problems(found.broker))


def _broker_problems(broker: BrokerLink) -> Iterator[str]:
    if (broker.certificate is None) != (broker.key is None):
        yield "broker.certificate, broker.key: one is missing, expected both or neither"
    if broker.password_file is not None and broker.user is None:
        yield "broker.password_file: is set, expected broker.user with it"
    if not broker.tls:
        for name in ("ca_file", "certificate", "key"):
            if getattr(broker, name) is not None:
                yield f"broker.{name}: is set, but broker.tls is false: expected TLS, or none of its files"
    for index, text in enumerate(broker.servers):
        try:
            _address(text, tls=broker.tls)
        except ValueError as error:
            yield f"broker.servers[{index}]: {error}"


def _address(text: str, *, tls: bool) -> tuple[str, int]:
    """Split `host`, `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: it is none of them.
    """
    expected = f"got {text!r}, expected host:port such as mqtt.plant.example:8883"
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(_DEFAULT_PORTS[tls])
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(expected)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        not bare
        or "/" in bare
        or "@" in bare
        or any(c.isspace() for c in bare)
        or (":" in bare and bare == host)
    ):
        raise ValueError(expected)
    return bare, int(port)
