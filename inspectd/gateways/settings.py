"""Settings that every gateway has, and the reader of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, TypeVar

from msgspec import Meta

from inspectd import config
from inspectd.client import ClientKeys
from inspectd.config import Name, Settings
from inspectd.config.places import other_line_problems
from inspectd.config.program_files import line_problems, load_program

_Config = TypeVar("_Config", bound="GatewayConfig")

RecipeNumber = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,2}\Z", examples=["12"])]


class ReadLine(Settings, frozen=True, kw_only=True):
    """The line whose verdicts are told."""

    plant: Annotated[Name, Meta(description="Its plant's name, as in its own file.")] = "plant"
    name: Annotated[
        Name,
        Meta(description="Its name, as in its own file. Where another line is found, this program ends."),
    ] = "line1"
    verdicts: Annotated[
        str,
        Meta(
            pattern="^(ipc|tcp)://.", examples=["ipc:///run/inspectd/line1/verdicts.sock"],
            description="Its socket for verdicts: local, or tcp://HOST:PORT on another host.",
        ),
    ] = "ipc:///run/inspectd/line1/verdicts.sock"  # fmt: skip
    sync: Annotated[
        str, Meta(description="Its socket for replays. Empty: sync.sock beside a local verdicts.sock.")
    ] = ""
    server_key: Annotated[
        str | None, Meta(description="The line's public key, server.key, for TCP with keys.")
    ] = None
    client_key: Annotated[
        str | None, Meta(description="This gateway's own key, NAME.key_secret, for TCP with keys.")
    ] = None

    @property
    def meant(self) -> str:
        """What a request to it says, so that another line refuses."""
        return f"{self.plant}/{self.name}"

    @property
    def own_names(self) -> tuple[str, str]:
        """Its plant and name: messages of another line are never taken for its own."""
        return self.plant, self.name

    @property
    def keys(self) -> ClientKeys | None:
        """The keys for TCP, where there are any."""
        if self.server_key is None or self.client_key is None:
            return None
        return ClientKeys(Path(self.server_key), Path(self.client_key))


class GatewayLine(ReadLine, frozen=True, kw_only=True):
    """The line whose parts the plant triggers."""

    control: Annotated[
        str, Meta(description="Its socket for triggers. Empty: control.sock beside a local verdicts.sock.")
    ] = ""


class HandshakeSettings(Settings, frozen=True, kw_only=True):
    """The hand-shake with the PLC."""

    answer_ms: Annotated[
        float,
        Meta(
            ge=5, le=60_000,
            description="Longest time from a trigger to the line's answer; with the line's window_ms it must "
            "be shorter than a part stays before the camera.",
        ),
    ] = 100.0  # fmt: skip
    plc_heartbeat: Annotated[
        bool, Meta(description="The PLC counts up its heartbeat word; if it stops, the line is not online.")
    ] = True
    plc_timeout_ms: Annotated[
        float, Meta(ge=50, le=60_000, description="Longest time without a change of the PLC's heartbeat.")
    ] = 1000.0
    pass_hold_ms: Annotated[
        float,
        Meta(ge=10, le=600_000, description="A pass that the PLC does not fetch so soon is none any more."),
    ] = 2000.0
    command_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="Longest time for a recipe to be loaded.")
    ] = 120.0
    recipes: Annotated[
        dict[RecipeNumber, Name] | None,
        Meta(description="Names of the recipes that a trigger may ask for, by number. Unset: none."),
    ] = None

    golden_parts: Annotated[
        dict[RecipeNumber, Name] | None,
        Meta(description="Names of the golden parts that command 4 may announce, by number. Unset: none."),
    ] = None
    may_promote: Annotated[bool, Meta(description="The PLC may put the shadow in force, by command 7.")] = (
        False
    )

    @property
    def golden_names(self) -> dict[int, str]:
        """Names of golden parts by number."""
        return {int(number): name for number, name in (self.golden_parts or {}).items()}

    @property
    def recipe_names(self) -> dict[int, str]:
        """Names of recipes by number."""
        return {int(number): name for number, name in (self.recipes or {}).items()}


class GatewayMetricsSettings(config.MetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9465


class GatewayConfig(Settings, frozen=True, kw_only=True):
    """What the file of every gateway has."""

    line: ReadLine = ReadLine()
    metrics: GatewayMetricsSettings = GatewayMetricsSettings()
    log: config.Log = config.Log()


class HandshakeConfig(GatewayConfig, frozen=True, kw_only=True):
    """What the file of every gateway has that a PLC triggers parts by."""

    line: GatewayLine = GatewayLine()
    handshake: HandshakeSettings = HandshakeSettings()


_PATHS: Final = {
    "line": ("server_key", "client_key"),
    "metrics": ("tls_certificate", "tls_key", "users_file"),
}


def load(
    path: Path,
    kind: type[_Config],
    own_paths: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    own_problems: Callable[[_Config], Iterable[str]] = lambda _: (),
) -> _Config:
    """Read a gateway's file; relative paths in it become absolute, from the file's own folder.

    Args:
        path: the file.
        kind: all its tables.
        own_paths: settings of this gateway's own tables that name files or folders, by table.
        own_problems: what does not fit together in them, in words.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """

    def found(settings: _Config) -> Iterator[str]:
        sockets = ("sync", "control") if isinstance(settings.line, GatewayLine) else ("sync",)
        yield from line_problems(settings.line, sockets)
        yield from other_line_problems(settings.line.name)
        yield from own_problems(settings)

    return load_program(path, kind, {**_PATHS, **own_paths}, found)
