"""The settings of the hub, and the reader of its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from msgspec import Meta

from inspectd import config
from inspectd.config import Name, Settings
from inspectd.config.places import systemd_directory
from inspectd.config.program_files import load_program
from inspectd.errors import InputError
from inspectd.fleet.settings import LINK_PATHS, ServersLink, link_problems
from inspectd.page.login_settings import PageOidc, PageProxy, oidc_problems, proxy_problems
from inspectd.page.settings import SITE_PATHS, PageServer, SiteView, site_problems, view_problems

_PATHS: Final = {**SITE_PATHS, **LINK_PATHS, "database": ("password_file",)}


class HubPlant(Settings, frozen=True, kw_only=True):
    """The plant whose lines are shown."""

    name: Annotated[Name, Meta(description="The plant's name, as in the files of its lines.")] = "plant"
    silent_seconds: Annotated[
        float,
        Meta(
            ge=5,
            le=86_400,
            description="A line without a new verdict for so long is shown as standing still.",
        ),
    ] = 60.0


class HubDatabase(Settings, frozen=True, kw_only=True):
    """Where verdicts of all lines are kept."""

    url: Annotated[
        str,
        Meta(
            min_length=1, max_length=300,
            description="postgresql://USER@HOST/NAME, or for a small plant sqlite:////PATH (absolute).",
        ),
    ] = "sqlite:////var/lib/inspectd-hub/hub.sqlite"  # fmt: skip
    password_file: Annotated[
        str | None,
        Meta(description="File with PostgreSQL's password, mode 0600. Unset: none, or one of .pgpass."),
    ] = None
    days: Annotated[
        float, Meta(ge=1, le=3650, description="Verdicts older than this are removed from the database.")
    ] = 400.0


class HubSite(Settings, frozen=True, kw_only=True):
    """Where the hub keeps users, sessions and its audit file."""

    dir: Annotated[
        str,
        Meta(description="Its directory. Empty: the one systemd gives the service; commands need it here."),
    ] = ""


class HubMetricsSettings(config.MetricsSettings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9471


class HubConfig(Settings, frozen=True, kw_only=True):
    """A whole file of the hub."""

    plant: HubPlant = HubPlant()
    servers: ServersLink = ServersLink()
    database: HubDatabase = HubDatabase()
    server: PageServer = PageServer()
    proxy: PageProxy = PageProxy()
    oidc: PageOidc = PageOidc()
    view: SiteView = SiteView()
    store: HubSite = HubSite()
    metrics: HubMetricsSettings = HubMetricsSettings()
    log: config.Log = config.Log()

    @property
    def data_dir(self) -> Path:
        """The directory of what is kept beside the database.

        Raises:
            InputError: `store.dir` is empty, and systemd names none to this process.
        """
        found = Path(self.store.dir) if self.store.dir else systemd_directory("STATE_DIRECTORY")
        if found is None:
            raise InputError(
                "store.dir: is empty, expected the directory of users and sessions, such as "
                "/var/lib/inspectd-hub; only the service itself is told it by systemd"
            )
        return found

    @property
    def zone(self) -> ZoneInfo:
        """The plant's time zone."""
        return ZoneInfo(self.view.zone)

    @property
    def is_encrypted(self) -> bool:
        """Browsers reach the hub over TLS, its own or the proxy's."""
        return self.server.tls_certificate is not None or self.proxy.origin.startswith("https://")

    @property
    def site(self) -> str:
        """What it is called in names of cookies: pages of lines on this host have others."""
        return f"{self.plant.name}+hub"  # no line has such a name

    @property
    def title(self) -> str:
        """What the login is headed by."""
        return self.plant.name


def load(path: Path) -> HubConfig:
    """Read the hub's file; relative paths in it become absolute, from the file's own folder.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    return load_program(path, HubConfig, _PATHS, _problems)


def _problems(settings: HubConfig) -> Iterator[str]:
    yield from site_problems(settings.server)
    yield from proxy_problems(settings.proxy)
    yield from oidc_problems(settings.oidc, settings.proxy)
    yield from view_problems(settings.view)
    yield from link_problems(settings.servers)
    url = settings.database.url
    if not url.startswith(("postgresql://", "sqlite:////")):
        shown = url.partition(":")[0]
        yield (
            f"database.url: begins with {shown!r}, expected postgresql://USER@HOST/NAME or "
            "sqlite:////var/lib/inspectd-hub/hub.sqlite (an absolute path, four slashes)"
        )
    if settings.database.password_file is not None and not url.startswith("postgresql://"):
        yield "database.password_file: is set, expected none: SQLite has no password"
