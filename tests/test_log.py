"""The log when whoever reads it does not: nobody waits for that, and what is missing is said."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from inspectd.log import QueuedHandler, Repeated, left_behind


class Reader:
    """A pipe with a handler at its one end."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.handler = QueuedHandler(self.write_end)
        self.handler.setFormatter(logging.Formatter("%(message)s"))

    def log(self, text: str) -> None:
        self.handler.handle(logging.LogRecord("test", logging.INFO, "", 0, text, (), None))

    def read_until(self, text: bytes) -> bytes:
        found = b""
        while text not in found:
            found += os.read(self.read_end, 1 << 16)
        return found


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    os.close(made.read_end)


def test_lines_arrive_in_order(reader):
    for n in range(1000):
        reader.log(f"line {n}")
    assert reader.read_until(b"line 999\n").splitlines() == [b"line %d" % n for n in range(1000)]
    assert reader.handler.dropped == 0


def test_a_reader_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed(reader):
    began = time.monotonic()
    for n in range(3000):
        reader.log(f"{n} {'x' * 1000}")
    reader.handler.flush()  # gives up after half a second
    assert time.monotonic() - began < 3
    dropped = reader.handler.dropped
    assert 1500 < dropped < 3000
    found = b""
    while found.count(b"x\n") < 3000 - dropped or not found.endswith(b"lines_dropped\n"):
        found += reader.read_until(b"\n")
    assert found.count(b"x\n") == 3000 - dropped
    reader.log("after")
    assert reader.read_until(b"after\n") == b"after\n"


def test_a_reader_that_is_gone_costs_lines_and_nothing_else():
    gone = Reader()
    os.close(gone.read_end)
    gone.log("nobody reads this")
    end = time.monotonic() + 5
    while gone.handler.dropped == 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.close(gone.write_end)


def test_a_process_ends_though_nobody_reads_its_traceback():
    code = (
        "import os; from inspectd import log; log.setup('info', 'text')\n"
        "os.set_blocking(2, False)\n"
        "try:\n    while True: os.write(2, b'x' * 4096)\n"
        "except BlockingIOError: os.set_blocking(2, True)\n"
        "log.last_words('error: one')\n"
        "raise ValueError('two')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    try:
        assert process.wait(15) == 1
    finally:
        process.kill()
        process.communicate()


def test_an_unexpected_end_leaves_its_traceback_in_the_log():
    code = "from inspectd import log; log.setup('info', 'json')\nraise ValueError('surprise')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '"event":"uncaught"' in done.stderr
    assert "ValueError: surprise" in done.stderr


def test_a_command_s_warnings_have_their_fields() -> None:
    code = (
        "import logging; from inspectd import log; log.setup_for_commands(); "
        "log.event(logging.getLogger('inspectd.bank'), logging.WARNING, 'cuda_unusable', reason='too old')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.endswith('warning inspectd.bank cuda_unusable reason="too old"\n')


def test_what_anybody_can_cause_is_logged_now_and_then_and_cut_short(caplog):
    now = [1000.0]
    repeated = Repeated(logging.getLogger("test"), lambda: now[0])

    def said(times: int, kind: str = "") -> list[dict[str, object]]:
        caplog.clear()
        for _ in range(times):
            repeated.event(logging.WARNING, "foreign", kind, host="h" * 8000, port=None)
        return [record.fields for record in caplog.records]

    short = "h" * 200 + "..."
    assert said(100) == [{"host": short}] * 10
    assert said(1, "another") == [{"host": short}]
    now[0] += 10
    assert said(100) == [{"host": short, "left_out": 90}]
    now[0] += 5
    assert said(1) == []
    now[0] += 3600
    assert said(100) == [{"host": short, "left_out": 100}] + [{"host": short}] * 9


def test_what_asyncio_warns_of_clients_that_have_gone_is_not_logged():
    says = (
        "import logging; from inspectd import log; log.setup('debug', 'text'); "
        "of = logging.getLogger('asyncio'); of.warning('socket.send() raised exception.'); of.error('kept')"
    )
    done = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in done.stderr.splitlines()] == ["kept"]


def test_what_a_callback_of_a_library_ends_with_is_one_line(caplog):
    async def work():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(left_behind)
        loop.call_soon_threadsafe(loop.add_writer, -1, print)  # as of a socket that was closed meanwhile
        await asyncio.sleep(0)

    asyncio.run(work())
    (said,) = caplog.records
    assert (said.getMessage(), said.levelname, said.exc_info) == ("left_behind", "WARNING", None)
    assert "add_writer" in said.fields["detail"]
    assert "ValueError" in said.fields["error"]
