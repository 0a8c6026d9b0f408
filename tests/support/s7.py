"""A PLC for tests: python-snap7's own server with the two data blocks, and the page's function block."""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snap7 import Server, SrvArea
from support.gateway import GatewayProcess, now_ms, value_in
from support.ports import free_port
from support.structured_text import FunctionBlock, block_of_page

PAGE = Path(__file__).parents[2] / "docs" / "gateways" / "s7.md"
CONTROL_DB, STATUS_DB = 100, 101


class S7Plc:
    """Its program runs when `cycle` is called; its data blocks can be read and written at any time."""

    def __init__(self, port: int = 0, control: bytearray | None = None, **inputs: Any) -> None:
        """Start it; `inputs` are those of the function block that stay."""
        self.port = port or free_port()
        self.control = bytearray(68) if control is None else control
        self.status_block = bytearray(80)
        self.server = Server(log=False)
        self.server.register_area(SrvArea.DB, CONTROL_DB, self.control)
        self.server.register_area(SrvArea.DB, STATUS_DB, self.status_block)
        self.server.start(tcp_port=self.port)
        self.block = function_block(**inputs)

    def close(self) -> None:
        self.server.stop()

    @property
    def status(self) -> list[int]:
        """The words of the status block."""
        return list(struct.unpack(">40H", bytes(self.status_block)))

    def value(self, name: str) -> Any:
        """A value of the status block."""
        return value_in(self.status, name)

    def cycle(self, *, eye: bool = False) -> Any:
        """One cycle of its program; the function block's variables."""
        found = self.block.cycle(Status=self.status, Now=now_ms(), Eye=eye)
        self.control[:] = struct.pack(">34H", *self.block.vars.Control)
        return found

    def until(self, condition: Callable[[], object], *, runs: bool = True, seconds: float = 10) -> None:
        """Wait; the program runs meanwhile, or not, as in STOP."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, [hex(word) for word in self.status]
            if runs:
                self.cycle()
            time.sleep(0.002)

    def is_ready(self) -> bool:
        return self.status[0] & 0x81 == 0x81

    def part(self) -> bool:
        """A part goes from the photo eye to the gate; whether that opened."""
        self.until(lambda: self.is_ready() and self.block.vars.Online and self.block.vars.Step == 0)
        return self.part_now()

    def part_now(self) -> bool:
        """The same, whether or not the gateway is ready."""
        found = self.cycle(eye=True)
        while not (found.Open or found.Reject):
            time.sleep(0.002)
            found = self.cycle(eye=True)
        is_open = bool(found.Open)
        self.cycle()
        return is_open


class S7Gateway(GatewayProcess):
    """`inspectd gateway s7` as a process."""

    kind = "s7"
    ready = b" started "

    def __init__(
        self, folder: Path, runtime_dir: Path, port: int, tables: str = "", metrics_port: int = 0
    ) -> None:
        """Start it for the PLC at a port of this host."""
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "gateway.log"
        self._file = folder / "gateway.toml"
        self._file.write_text(
            f'[line]\nplant = "test"\nname = "line"\nverdicts = "ipc://{runtime_dir}/verdicts.sock"\n'
            f'[s7]\nhost = "127.0.0.1"\nport = {port}\n[metrics]\nport = {metrics_port}\n{tables}\n'
        )
        self.start()


def function_block(**values: Any) -> FunctionBlock:
    """The function block of the page, with its arrays."""
    return block_of_page(PAGE, **values)


if __name__ == "__main__":  # a PLC that can be killed; its program counts the heartbeat alone
    plc = S7Plc(int(sys.argv[1]))
    while True:
        plc.cycle()
        time.sleep(0.005)
