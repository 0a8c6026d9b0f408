"""What a browser may cost the page: slow requests, tabs that do not draw or read. It runs in this process."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from starlette.routing import Router
from support.page_process import CHEAP, PASSWORD
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.orders import OrderFile
from inspectd.page.listening import ConnectionBook, PageListener
from inspectd.page.live.hub import LiveHub
from inspectd.page.live.pictures import LivePicture
from inspectd.page.live.socket import LiveSockets, TabPatience
from inspectd.page.settings import PageConfig, PageServer, PageStore
from inspectd.page.site import make_guard
from inspectd.wire import Counts, Heartbeat


class PageHere:
    """A page of live tabs alone."""

    def __init__(
        self, folder: Path, patience: TabPatience, request_seconds: float = 10.0, unread_seconds: float = 30.0
    ) -> None:
        settings = PageConfig(server=PageServer(port=0), store=PageStore(dir=str(folder)))
        self.counts: Counter[tuple[str, str]] = Counter()
        self.store = AccountStore(folder)
        self.store.add_user("kim", Role.VIEWER, CHEAP.hash(PASSWORD))
        self.hub = LiveHub(settings, PartCounts(), OrderFile(folder))
        guard = make_guard(settings, self.counts, self.store)
        sockets = LiveSockets(self.hub, guard, self.counts, patience)
        self.book = ConnectionBook(20, self.counts, unread_seconds)
        self.listener = PageListener(Router(sockets.routes), settings, self.book, request_seconds)
        self.hub.take(
            [Heartbeat("plant", "line1", 1, 1, 1, 60_000.0, "running", Counts(0, 0, 0, 0), {"top": "up"})]
        )

    def tab(self, **more: object) -> connect:
        token = self.store.begin_session(self.store.user("kim"), "here")
        headers = {"Cookie": f"inspectd-plain.plant.line1={token}"}
        address = f"ws://127.0.0.1:{self.listener.port}/live"
        return connect(address, additional_headers=headers, compression=None, **more)

    def show(self, seq: int, size: int) -> None:
        self.hub.take_picture(LivePicture("top", None, 1, seq, 0, {}, bytes(size), b"", is_pass=True))


def served(
    folder: Path, work: Callable[[PageHere], Awaitable[None]], patience: TabPatience, **more: float
) -> None:
    async def run() -> None:
        page = PageHere(folder, patience, **more)
        await page.listener.start()
        try:
            async with asyncio.timeout(20):
                await work(page)
        finally:
            await page.listener.close()
            page.store.close()

    asyncio.run(run())


async def until_closed(tab: ClientConnection) -> int:
    """Pictures that came until the page closed the tab."""
    pictures = 0
    try:
        async for message in tab:
            pictures += isinstance(message, bytes)
    except ConnectionClosed:
        return pictures
    return pictures


def test_a_tab_that_draws_nothing_is_cut_off_after_two_pictures(tmp_path) -> None:
    async def work(page: PageHere) -> None:
        async with page.tab() as tab:
            await tab.send('{"t":"show","cameras":["top"]}')
            while page.hub.wanted != {"top"}:
                await asyncio.sleep(0.01)
            for seq in range(10):
                page.show(seq, 100)
                await asyncio.sleep(0.01)
            assert await until_closed(tab) == 2
            assert tab.close_code == 4408
        assert page.counts["tabs_cut", "too_slow"] == 1
        assert not page.hub.tabs
        assert not page.hub.wanted

    served(tmp_path, work, TabPatience(draw_seconds=0.5))


def test_a_tab_that_reads_nothing_is_cut_off_and_others_go_on(tmp_path) -> None:
    async def work(page: PageHere) -> None:
        async with page.tab(max_size=None) as slow, page.tab(max_size=None) as quick:
            for each in (slow, quick):
                await each.send('{"t":"show","cameras":["top"]}')
            drawn, seq = 0, 0
            slow.transport.pause_reading()
            while len(page.hub.tabs) == 2:
                seq += 1
                page.show(seq, 8_000_000)  # more than the system keeps for a connection
                message = await quick.recv()
                if isinstance(message, bytes):
                    drawn += 1
                    await quick.send('{"t":"ack"}')
            assert drawn >= 2
            slow.transport.abort()
        assert page.counts["tabs_cut", "too_slow"] == 1

    served(tmp_path, work, TabPatience(send_seconds=2.0, draw_seconds=60))


WHOLE = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("before", "sent"), [(b"", b""), (b"", b"GET / HTTP/1.1\r\nHos"), (WHOLE, b"GET / HTT")]
)
def test_a_request_that_does_not_come_whole_is_ended(tmp_path, before, sent) -> None:
    async def work(page: PageHere) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", page.listener.port)
        if before:
            writer.write(before)
            assert b" 404 " in await reader.read(1000)
        writer.write(sent)
        while await reader.read(1000):
            pass
        writer.close()
        assert page.counts["refused", "slow"] == 1
        assert page.book.total == 0

    served(tmp_path, work, TabPatience(), request_seconds=0.4)


def test_a_disk_that_takes_nothing_cuts_off_no_tab(tmp_path) -> None:
    async def work(page: PageHere) -> None:
        async with page.tab() as tab:
            page.store._database.execute("PRAGMA query_only = ON")
            await tab.send('{"t":"used"}')
            await tab.send('{"t":"show","cameras":["top"]}')
            while page.hub.wanted != {"top"}:
                await asyncio.sleep(0.01)
            assert len(page.hub.tabs) == 1

    served(tmp_path, work, TabPatience())


def test_what_reads_nothing_of_an_answer_is_ended(tmp_path) -> None:
    async def work(page: PageHere) -> None:
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            silent.connect(("127.0.0.1", page.listener.port))
            silent.setblocking(False)
            end = asyncio.get_running_loop().time() + 0.5
            while asyncio.get_running_loop().time() < end:
                try:
                    silent.send(WHOLE * 20)
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0)
            assert page.book.total == 1
            while page.book.total:
                await asyncio.sleep(0.05)

    served(tmp_path, work, TabPatience(), unread_seconds=1.0)
