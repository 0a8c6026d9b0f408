"""What a person sees when something between line and glass is gone: killed, stopped, flooded, cut, revoked.

All of it runs in a network of its own without a route. `SHOTS=FOLDER` keeps a picture of each moment,
`ALONE=1` takes the times of docs/page.md at their word.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from faults import clock
from support.crowd import crowd
from support.daemon import Daemon, camera_table, settings
from support.glass import launched
from support.lone_network import lone_network
from support.page_keys import with_keys
from support.page_process import PageProcess
from support.ports import free_ports
from support.promises import within
from support.relay import Relay

from inspectd.cli.daemon_process import DaemonProcess
from inspectd.publish.access import keys

pytestmark = [pytest.mark.system, pytest.mark.timed]

LIVE, STALE = ".tile.fresh", ".tile.stale .over"
NAMES = ("verdicts", "sync", "control", "previews")
STUB = Path(__file__).parents[2] / "support" / "stub_daemon.py"


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    with lone_network():
        yield


@pytest.fixture(scope="module")
def chromium(alone) -> Iterator[object]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def keys_folder(tmp_path_factory) -> Path:
    return with_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def ports(alone) -> dict[str, int]:
    return dict(zip(NAMES, free_ports(4), strict=True))


def keyed(bank: Path, images: Path, ports: dict[str, int], keys_folder: Path) -> str:
    """Settings of a line that serves local clients, and others over TCP by their keys."""
    tcp = "\n".join(f'{name}_tcp = "127.0.0.1:{port}"' for name, port in ports.items())
    extra = f'[preview]\n[publish]\n{tcp}\n[security]\nkeys_dir = "{keys_folder}"'
    return settings(bank, camera_table("top", images, fps=10), extra=extra)


@pytest.fixture(scope="module")
def line(start_shared_daemon, stub_bank, good_folder, ports, keys_folder) -> Daemon:
    return start_shared_daemon(keyed(stub_bank, good_folder, ports, keys_folder)).ready()


@pytest.fixture
def page(line, tmp_path) -> Iterator[PageProcess]:
    process = PageProcess(tmp_path / "page", line.runtime_dir)
    yield process
    process.close()


@pytest.fixture
def far_page(keys_folder, tmp_path) -> Iterator[Callable[..., PageProcess]]:
    """Starts a page on another host, as it were: over TCP, with a key of its own."""
    with ExitStack() as started:

        def start(line: Daemon, ports: dict[str, int]) -> PageProcess:
            page = PageProcess(tmp_path / "far", line.runtime_dir, **over_tcp(ports, keys_folder))
            started.callback(page.close)
            return page

        yield start


def over_tcp(ports: dict[str, int], keys_folder: Path) -> dict[str, str]:
    more = "".join(f'{name} = "tcp://127.0.0.1:{ports[name]}"\n' for name in NAMES[1:])
    more += f'server_key = "{keys_folder}/server.key"\nclient_key = "{keys_folder}/page1.key_secret"\n'
    return {"line": more, "verdicts": f"tcp://127.0.0.1:{ports['verdicts']}"}


def test_a_page_that_is_killed(page, look) -> None:
    glass = look(page)
    glass.sees(LIVE)
    page.kill()
    assert glass.sees(".band.lost strong", "NOT LIVE") < within(1.5)
    assert glass.sees(STALE, "No connection") < within(1.5)
    glass.shot("page-killed")
    page.start()
    assert glass.sees(LIVE) < within(8)
    glass.sees(".band.ok strong", "RUNNING")


def test_a_page_that_stands_still(page, look) -> None:
    glass = look(page)
    glass.sees(LIVE)
    assert page.process is not None
    page.process.send_signal(signal.SIGSTOP)
    assert glass.sees(STALE, "NO PICTURE") < within(1.5)
    assert glass.sees(".band.lost strong", "NOT LIVE") < within(2.5)
    glass.shot("page-stopped")
    page.process.send_signal(signal.SIGCONT)
    assert glass.sees(LIVE) < within(5)


def test_a_page_that_50_others_besiege(page, look) -> None:
    glass = look(page)
    glass.sees(LIVE)
    with crowd(page, 50) as served:
        glass.tab.wait_for_timeout(8000)
        assert 1 - glass.live_share(seconds=5) < within(0.1)
        glass.sees(".band.ok strong", "RUNNING")
        glass.shot("page-flooded")
    assert served.answers > 500
    assert glass.sees(LIVE) < within(2)


def test_a_line_that_starts_again(start_daemon, stub_bank, good_folder, tmp_path, look) -> None:
    daemon = start_daemon(
        settings(stub_bank, camera_table("top", good_folder, fps=10), extra="[preview]")
    ).ready()
    places = {
        "RUNTIME_DIRECTORY": str(daemon.runtime_dir), "STATE_DIRECTORY": str(daemon.folder / "state"),
    }  # fmt: skip
    with ExitStack() as open_now:
        page = PageProcess(tmp_path / "page", daemon.runtime_dir)
        open_now.callback(page.close)
        glass = look(page)
        glass.sees(LIVE)
        daemon.process.kill()
        daemon.process.wait()
        assert glass.sees(".band.failure strong", "NO CONTACT") < within(1.8)
        assert glass.sees(STALE, "The line is silent") < within(1.8)
        glass.sees(".band .why", "every part is to be rejected until it is back")
        glass.shot("line-killed")
        command = [sys.executable, str(STUB)]
        again = DaemonProcess(daemon.file, daemon.folder / "log2", command=command, environment=places)
        open_now.callback(again.wait)
        open_now.callback(again.kill)
        glass.sees(LIVE, within_seconds=60)
        glass.sees(".band.ok strong", "RUNNING")


def test_a_page_whose_key_is_revoked(line, ports, keys_folder, far_page, look) -> None:
    glass = look(far_page(line, ports))
    glass.sees(LIVE)
    allowed = list(keys.read_list(keys_folder).clients)
    try:
        keys.write_allowed(keys_folder, [])
        assert glass.sees(".band.failure strong", "NO CONTACT") < within(5)
        assert glass.sees(STALE, "The line is silent") < within(1)
        glass.shot("key-revoked")
    finally:
        keys.write_allowed(keys_folder, allowed)
    assert glass.sees(LIVE) < within(20)


@contextmanager
def relayed(ports: dict[str, int]) -> Iterator[dict[str, Relay]]:
    """A hop before each of these ports."""
    with ExitStack() as held:
        yield {name: held.enter_context(Relay(port)) for name, port in ports.items()}


def through(relays: dict[str, Relay]) -> dict[str, int]:
    return {name: relay.port for name, relay in relays.items()}


def test_a_network_between_line_and_page_that_is_cut(line, ports, far_page, look) -> None:
    with relayed(ports) as relays:
        glass = look(far_page(line, through(relays)))
        glass.sees(LIVE)
        for relay in relays.values():
            relay.held.set()
        assert glass.sees(STALE, "NO PICTURE") < within(1.8)
        assert glass.sees(".band.failure strong", "NO CONTACT") < within(1.8)
        glass.shot("line-cut")
        glass.tab.wait_for_timeout(4000)
        assert glass.tab.locator(LIVE).count() == 0
        for relay in relays.values():
            relay.held.clear()  # and all that was under way arrives at once, old as it is
        assert glass.sees(LIVE) < within(20)


def test_a_network_between_page_and_glass_that_is_cut(page, look) -> None:
    glass = look(page)
    glass.sees(LIVE)
    subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
    try:
        assert glass.sees(STALE, "NO PICTURE") < within(1.5)
        assert glass.sees(".band.lost strong", "NOT LIVE") < within(2.5)
        glass.shot("glass-cut")
    finally:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    assert glass.sees(LIVE) < within(30)


@pytest.mark.parametrize(("delay_seconds", "said"), [(0.8, None), (1.5, ".band.lost")])
def test_what_is_long_under_way_to_the_glass_is_not_live(page, look, delay_seconds, said) -> None:
    with Relay(page.port) as relay:
        relay.delay_seconds = delay_seconds
        glass = look(page, through=relay.port)
        glass.sees(".tile canvas:not([hidden])")
        assert glass.live_share(seconds=6) == 0
        if said is not None:
            glass.sees(said, "NOT LIVE")
        glass.shot(f"glass-delayed-{delay_seconds}")


@pytest.fixture(params=[(3600, "ahead"), (-3600, "behind")], ids=["ahead", "behind"])
def off_by_an_hour(
    request, start_daemon, stub_bank, good_folder, keys_folder
) -> tuple[Daemon, dict[str, int], str]:
    """A line whose host has another clock than the page's."""
    seconds, said = request.param
    ports, file = dict(zip(NAMES, free_ports(4), strict=True)), keys_folder / f"clock-{said}"
    clock.set_to(file, seconds)
    daemon = start_daemon(keyed(stub_bank, good_folder, ports, keys_folder), clock.by(file)).ready()
    return daemon, ports, said


def test_no_clock_of_the_line_makes_an_old_picture_look_live(off_by_an_hour, far_page, look) -> None:
    daemon, ports, said = off_by_an_hour
    with relayed(ports) as relays:
        glass = look(far_page(daemon, through(relays)))
        glass.sees(LIVE)
        glass.sees(".figures .hint", said)
        relays["previews"].delay_seconds = 1.5
        glass.tab.wait_for_timeout(3000)
        assert glass.live_share(seconds=3) == 0
        assert "late" in glass.text(STALE)
        glass.shot(f"line-clock-{said}")


def test_every_page_is_there_without_a_route(page, look) -> None:
    routes = subprocess.run(["ip", "route", "show"], check=True, capture_output=True, text=True).stdout
    assert routes == ""
    for role, paths in {
        "engineer": ("/", "/history", "/trends", "/recipes", "/golden", "/account"),
        "admin": ("/users", "/sessions", "/audit"),
    }.items():
        glass = look(page, role)
        for path in paths:
            glass.open(path).sees("tbody tr, .tile, .chart canvas, dl.facts, .hint")
        assert glass.addresses
        assert glass.left_origin() == []
