"""`inspectd hub`: from its file to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from inspectd import log
from inspectd.fleet.program import until_signalled
from inspectd.fleet.servers import ServersDoor
from inspectd.fleet.together import together
from inspectd.hub import metrics
from inspectd.hub.asking import HubQuestions
from inspectd.hub.engine import url_of
from inspectd.hub.keeping import remove_old
from inspectd.hub.reader import read_lines
from inspectd.hub.reading_state import ReadingState, utc_ms
from inspectd.hub.routes import HubRoutes
from inspectd.hub.settings import HubConfig
from inspectd.hub.store import HubStore
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier
from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.store import AccountStore
from inspectd.page.listening import ConnectionBook, PageListener
from inspectd.page.site import PageSite, make_guard

ASSETS: Final = Path(__file__).with_name("assets")
INBOX: Final = "_INBOX.reader"
"""Where answers to the hub go; its user in `accounts.conf` may listen there."""
_KEEP_ALIVE_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


def run(settings: HubConfig) -> None:
    """Read and serve until SIGTERM or SIGINT.

    Raises:
        InputError: a key, a certificate, the database's address or what it holds cannot be used.
        UnavailableError: a port is taken, or what the hub keeps cannot be written.
    """
    asyncio.run(_run(settings))


async def _run(settings: HubConfig) -> None:
    await until_signalled(_work(settings))
    log.event(_log, logging.INFO, "stopped")


async def _work(settings: HubConfig) -> None:
    notifier = Notifier.from_environment()
    with ExitStack() as open_now:
        url = url_of(settings.database.url, settings.database.password_file)
        accounts = AccountStore(settings.data_dir)
        open_now.callback(accounts.close)
        passwords = PasswordChecker()
        open_now.callback(passwords.close)
        store, questions = HubStore(url, settings.plant.name), HubQuestions(url)
        open_now.callback(store.close)
        open_now.callback(questions.close)
        state = ReadingState(utc_ms())
        counts: Counter[tuple[str, str]] = Counter()
        guard = make_guard(settings, counts, accounts)
        site = PageSite(settings, guard, passwords, counts, ASSETS)
        door = ServersDoor(settings.servers, INBOX, f"inspectd-hub {settings.plant.name}")
        days = settings.database.days
        app = site.app(HubRoutes(settings, guard, questions, state).routes)
        listener = PageListener(
            app, settings, ConnectionBook(settings.server.connections_per_address, counts)
        )
        await listener.start()
        open_now.enter_context(metrics_served(metrics.registry(state, questions), settings.metrics))
        if not accounts.users():
            remedy = "inspectd hub --config FILE user add NAME --role admin"
            log.event(_log, logging.WARNING, "no_user", remedy=remedy)
        log.event(
            _log, logging.INFO, "listening", host=settings.server.host, port=listener.port,
            encrypted=settings.is_encrypted, database=url.render_as_string(),
        )  # fmt: skip
        notifier.ready()
        try:
            await together(
                read_lines(settings.plant.name, door, store, state, days),
                remove_old(store, days),
                _keep(notifier, listener),
            )
        finally:
            notifier.stopping()
            await listener.close()


async def _keep(notifier: Notifier, listener: PageListener) -> None:
    """Show the service manager that the loop goes round, and look after the certificate."""
    while True:
        notifier.watchdog()
        listener.renew_certificate()
        await asyncio.sleep(_KEEP_ALIVE_SECONDS)
