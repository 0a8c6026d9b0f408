"""The settings of the operator's page, and the reader of its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from inspectd import config
from inspectd.client import ClientKeys
from inspectd.config import Host, Name, Settings
from inspectd.config.places import other_line_problems, systemd_directory
from inspectd.config.program_files import endpoint, line_problems, load_program
from inspectd.errors import InputError
from inspectd.page.login_settings import PageOidc, PageProxy, is_loopback, oidc_problems, proxy_problems

Language = Literal["en", "ko"]
"""That the page has texts in."""
_ENDPOINTS: Final = ("sync", "control", "previews")
SITE_PATHS: Final = {
    "server": ("tls_certificate", "tls_key"),
    "proxy": ("secret_file",),
    "oidc": ("client_secret_file", "ca_file"),
    "store": ("dir",),
    "metrics": ("tls_certificate", "tls_key", "users_file"),
}
"""Settings of every site that name files or folders, by table."""
_PATHS: Final = {
    **SITE_PATHS,
    "line": ("server_key", "client_key", "evidence_dir", "recipes_dir", "settings_file", "teach_socket"),
}


class PageServer(Settings, frozen=True, kw_only=True):
    """Where browsers reach the page."""

    host: Annotated[Host, Meta(description="Address to listen on. Any but loopback needs the TLS files.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port.")] = 8443
    tls_certificate: Annotated[
        str | None, Meta(description="PEM file with the certificate; read again when it changes.")
    ] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the certificate's private key.")] = None
    connections_per_address: Annotated[
        int,
        Meta(ge=4, le=1000, description="Connections of one address; of a proxy: all its own."),
    ] = 40


class PageLine(Settings, frozen=True, kw_only=True):
    """The line that the page shows."""

    plant: Annotated[Name, Meta(description="The line's plant, as in its own file.")] = "plant"
    name: Annotated[Name, Meta(description="The line's name, as in its own file.")] = "line1"
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
    control: Annotated[
        str,
        Meta(description="Its socket for recipes and golden checks. Empty: control.sock beside a local one."),
    ] = ""
    previews: Annotated[
        str, Meta(description="Its socket for live pictures. Empty: previews.sock beside a local one.")
    ] = ""
    server_key: Annotated[
        str | None, Meta(description="The line's public key, server.key, for TCP with keys.")
    ] = None
    client_key: Annotated[
        str | None, Meta(description="The page's own key, NAME.key_secret, for TCP with keys.")
    ] = None
    evidence_dir: Annotated[
        str | None, Meta(description="The line's folder of evidence, to show pictures of parts. Unset: none.")
    ] = None
    recipes_dir: Annotated[
        str | None,
        Meta(description="The line's recipe store, to list what is not loaded. Unset: what the line says."),
    ] = None

    settings_file: Annotated[
        str | None, Meta(description="The line's own file, to explain parts on this host. Unset: none are.")
    ] = None
    teach_socket: Annotated[
        str | None,
        Meta(description="The socket of `inspectd teach serve` on this host. Unset: nothing is taught here."),
    ] = None

    @property
    def keys(self) -> ClientKeys | None:
        """The keys for TCP, where there are any."""
        if self.server_key is None or self.client_key is None:
            return None
        return ClientKeys(Path(self.server_key), Path(self.client_key))

    def endpoint(self, name: Literal["verdicts", "sync", "control", "previews"]) -> str:
        """Where a socket of the line is."""
        return endpoint(self, name)


class SiteView(Settings, frozen=True, kw_only=True):
    """How times are shown, and in which language."""

    zone: Annotated[
        str, Meta(description="The plant's time zone, such as Europe/Berlin: all times are shown in it.")
    ] = "UTC"
    language: Annotated[Language, Meta(description="Language of who has chosen none: en or ko.")] = "en"
    shift_starts: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d\Z", examples=["06:00", "22:00"])], ...],
        Meta(min_length=1, max_length=24, description="Times of day at which shifts start, in that zone."),
    ] = ("06:00", "14:00", "22:00")


class PageView(SiteView, frozen=True, kw_only=True):
    """How the page shows the line."""

    takt_target_seconds: Annotated[
        Annotated[float, Meta(gt=0, le=86_400)] | None,
        Meta(description="Time from part to part that is aimed at. Unset: none is shown."),
    ] = None


class PageStore(Settings, frozen=True, kw_only=True):
    """Where the page keeps users, sessions, its audit file and its copy of the line's verdicts."""

    dir: Annotated[
        str,
        Meta(description="Its directory. Empty: the one systemd gives the service; commands need it here."),
    ] = ""
    days: Annotated[
        float, Meta(ge=1, le=3650, description="Verdicts older than this are removed from the page's copy.")
    ] = 400.0
    max_mb: Annotated[
        float, Meta(ge=100, le=1_000_000, description="Room that copy may take; then the oldest are removed.")
    ] = 20_000.0
    min_free_mb: Annotated[
        float, Meta(ge=0, le=1_000_000, description="With less room free on its disk nothing is added to it.")
    ] = 500.0


class PageMetricsSettings(config.MetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9467


class PageConfig(Settings, frozen=True, kw_only=True):
    """A whole file of the page."""

    server: PageServer = PageServer()
    proxy: PageProxy = PageProxy()
    oidc: PageOidc = PageOidc()
    line: PageLine = PageLine()
    view: PageView = PageView()
    store: PageStore = PageStore()
    metrics: PageMetricsSettings = PageMetricsSettings()
    log: config.Log = config.Log()

    @property
    def data_dir(self) -> Path:
        """The directory of what the page keeps.

        Raises:
            InputError: `store.dir` is empty, and systemd names none to this process. Another place would be
                taken for the service's by whoever adds a user.
        """
        found = Path(self.store.dir) if self.store.dir else systemd_directory("STATE_DIRECTORY")
        if found is None:
            raise InputError(
                "store.dir: is empty, expected the directory of users, sessions and history, such as "
                f"/var/lib/inspectd-page/{self.line.name}; only the service itself is told it by systemd"
            )
        return found

    @property
    def zone(self) -> ZoneInfo:
        """The plant's time zone."""
        return ZoneInfo(self.view.zone)

    @property
    def is_encrypted(self) -> bool:
        """Browsers reach the page over TLS, its own or the proxy's."""
        return self.server.tls_certificate is not None or self.proxy.origin.startswith("https://")

    @property
    def site(self) -> str:
        """What it is called in names of cookies."""
        return f"{self.line.plant}.{self.line.name}"

    @property
    def title(self) -> str:
        """What the login is headed by."""
        return f"{self.line.plant}/{self.line.name}"


def load(path: Path) -> PageConfig:
    """Read the page's file; relative paths in it become absolute, from the file's own folder.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return load_program(path, PageConfig, _PATHS, _problems)


def _problems(settings: PageConfig) -> Iterator[str]:
    yield from site_problems(settings.server)
    yield from proxy_problems(settings.proxy)
    yield from oidc_problems(settings.oidc, settings.proxy)
    yield from line_problems(settings.line, _ENDPOINTS)
    yield from view_problems(settings.view)
    yield from other_line_problems(settings.line.name)


def site_problems(server: PageServer) -> Iterator[str]:
    """What is wrong with where browsers reach a page, in words."""
    if (server.tls_certificate is None) != (server.tls_key is None):
        yield "server.tls_certificate, server.tls_key: one is missing, expected both or neither"
    if not is_loopback(server.host) and server.tls_certificate is None:
        yield (
            f"server.host: {server.host} is reached by other hosts, expected server.tls_certificate and "
            "server.tls_key with it: passwords never cross a network in plain text"
        )


def view_problems(view: SiteView) -> Iterator[str]:
    """What is wrong with how it is shown, in words."""
    try:
        ZoneInfo(view.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"view.zone: got {view.zone!r}, expected a time zone such as Europe/Berlin, Asia/Seoul or UTC"
