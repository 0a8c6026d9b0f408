"""`inspectd page`: from its file to its end."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from starlette.routing import Route

from inspectd import log
from inspectd.client.locked_out import locked_out
from inspectd.metrics_server import metrics_served
from inspectd.notify import Notifier
from inspectd.page import metrics
from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.roles import Act
from inspectd.page.accounts.store import AccountStore
from inspectd.page.files import ASSETS
from inspectd.page.guard import Account, Guard
from inspectd.page.history.filler import HistoryLimits, HistorySource
from inspectd.page.history.history import History
from inspectd.page.history.routes import routes
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.link import LineThreads
from inspectd.page.line.orders import OrderFile
from inspectd.page.listening import ConnectionBook, PageListener
from inspectd.page.live.hub import LiveHub
from inspectd.page.live.pictures import picture_of
from inspectd.page.server import PageParts, make_app
from inspectd.page.settings import PageConfig
from inspectd.page.site import make_guard

_KEEP_ALIVE_SECONDS: Final = 2.0

_log: Final = logging.getLogger(__name__)


def run(settings: PageConfig, assets: Path = ASSETS) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: an endpoint, a key or a certificate cannot be used.
        UnavailableError: a port is taken, or what the page keeps cannot be written.
    """
    asyncio.run(_run(settings, assets))


async def _run(settings: PageConfig, assets: Path) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    notifier = Notifier.from_environment()
    with ExitStack() as open_now:
        counts: Counter[tuple[str, str]] = Counter()
        store = AccountStore(settings.data_dir)
        open_now.callback(store.close)
        passwords = PasswordChecker()
        open_now.callback(passwords.close)
        part_counts, orders = PartCounts(), OrderFile(settings.data_dir)
        hub = LiveHub(settings, part_counts, orders)

        def into_loop(take: Any) -> Any:
            return lambda value: _hand_over(loop, take, value)

        line = LineThreads(
            settings.line, part_counts,
            on_messages=lambda messages, is_old: _hand_over(
                loop, functools.partial(hub.take, is_old=is_old), messages
            ),
            on_status=into_loop(hub.take_status),
            on_preview=into_loop(lambda preview: hub.take_picture(picture_of(preview))),
            wanted=lambda: hub.wanted,
        )  # fmt: skip
        guard = make_guard(settings, counts, store)
        history = _history(settings)
        open_now.callback(history.close)
        parts = PageParts(guard, passwords, hub, orders, counts)
        book = ConnectionBook(settings.server.connections_per_address, counts)
        listener = PageListener(
            make_app(settings, parts, more_routes=_history_routes(settings, history, guard), assets=assets),
            settings,
            book,
        )
        await listener.start()
        collected = metrics.registry(counts, hub=hub, line=line, book=book, history=history)
        open_now.enter_context(metrics_served(collected, settings.metrics))
        history.start()
        line.start()
        open_now.callback(line.close)
        if not store.users():
            remedy = "inspectd page --config FILE user add NAME --role admin"
            log.event(_log, logging.WARNING, "no_user", remedy=remedy)
        log.event(
            _log, logging.INFO, "listening", host=settings.server.host, port=listener.port,
            encrypted=settings.is_encrypted, line=settings.line.verdicts,
        )  # fmt: skip
        notifier.ready()
        keeping = asyncio.ensure_future(_keep(notifier, listener, hub))
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({keeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
        finally:
            notifier.stopping()
            keeping.cancel()
            await listener.close()
            log.event(_log, logging.INFO, "stopped")


def _history(settings: PageConfig) -> History:
    line, store = settings.line, settings.store
    limits = HistoryLimits(store.days, round(store.max_mb * 1e6), round(store.min_free_mb * 1e6))
    source = HistorySource(
        line.endpoint("verdicts"), line.endpoint("sync"), (line.plant, line.name), line.keys
    )
    return History(settings.data_dir / "history", source, limits)


def _history_routes(settings: PageConfig, history: History, guard: Guard) -> list[Route]:
    async def record(account: Account, act: str, about: str) -> None:
        await guard.record(account, Act(act), about=about)

    line = settings.line
    return routes(
        history.questions, guard.allow, record, settings.zone,
        evidence_root=Path(line.evidence_dir) if line.evidence_dir else None,
        line_file=Path(line.settings_file) if line.settings_file else None,
        login_of=guard.token_of,
    )  # fmt: skip


async def _keep(notifier: Notifier, listener: PageListener, hub: LiveHub) -> None:
    """Show the service manager that the loop goes round, and look after the certificate."""
    state = said = ""
    while True:
        notifier.watchdog()
        hub.count_anew()
        if hub.line.state != state:
            state = hub.line.state
            log.event(_log, logging.INFO, "line", state=state)
        if (status := "; ".join((f"line {state}", *locked_out.problems().values()))) != said:
            said = status
            notifier.status(said)
        listener.renew_certificate()
        await asyncio.sleep(_KEEP_ALIVE_SECONDS)


def _hand_over(loop: asyncio.AbstractEventLoop, take: Any, value: Any) -> None:
    """Have the event loop take what a thread has read; after the loop's end it is nobody's."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, value)
