"""`inspectd gateway modbus` as a process for tests, and what a PLC does with it."""

from __future__ import annotations

import logging
import struct
import time
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient
from support.ports import free_port
from support.program import ProgramProcess
from support.structured_text import FunctionBlock, block_of_page

from inspectd.gateways.registers import FORMATS, STATUS

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what fails is seen by its callers

PAGE = Path(__file__).parents[2] / "docs" / "gateways" / "modbus.md"


class GatewayProcess(ProgramProcess):
    """A gateway on a free port of the loopback interface.

    Args:
        folder: for its file and log.
        runtime_dir: of the line.
        tables: more TOML, such as `[handshake]`.
        modbus: more lines of the table `[modbus]`.
        line: the table `[line]`, where the line is not reached by its local sockets.
        port: a port that stays through restarts; 0: a free one.
    """

    kind = "modbus"
    ready = b" listening "
    """What it logs when it serves."""

    def __init__(
        self, folder: Path, runtime_dir: Path, tables: str = "", *, modbus: str = "", line: str = "",
        port: int = 0, metrics_port: int = 0,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.log = folder / "gateway.log"
        self._file = folder / "gateway.toml"
        local = f'verdicts = "ipc://{runtime_dir}/verdicts.sock"'
        self._file.write_text(
            f'[line]\nplant = "test"\nname = "line"\n{line or local}\n'
            f"[modbus]\nport = {self.port}\n{modbus}\n[metrics]\nport = {metrics_port}\n{tables}\n"
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.begin("gateway", self.kind, "--config", self._file, ready=self.ready)


class PlcLink:
    """A PLC's Modbus client, pymodbus: it writes and reads words, and connects again by itself."""

    def __init__(self, port: int) -> None:
        self._client = ModbusTcpClient("127.0.0.1", port=port, timeout=0.25, retries=0)

    def exchange(self, control: list[int], first: int = 0) -> list[int] | None:
        """Write control words and read 100 to 139; None where either fails."""
        try:
            if not self._client.connected and not self._client.connect():
                return None
            if self._client.write_registers(first, control).isError():
                return None
            answer = self._client.read_holding_registers(100, count=40)
            return None if answer.isError() else answer.registers
        except Exception:  # noqa: BLE001 - pymodbus raises its own and others where a link is cut
            self._client.close()
            return None

    def close(self) -> None:
        """Disconnect."""
        self._client.close()


def value_in(status: list[int], name: str) -> Any:
    """A value of the status block as words 100 ff. have it."""
    register = next(register for register in STATUS if register.name == name)
    form = FORMATS[register.kind]
    at, size = register.word - 100, struct.calcsize(form) // 2
    return struct.unpack(form, struct.pack(f">{size}H", *status[at : at + size]))[0]


def function_block(**values: Any) -> FunctionBlock:
    """The function block of the page, with its arrays."""
    return block_of_page(PAGE, **values)


def now_ms() -> int:
    """A PLC's run time."""
    return time.monotonic_ns() // 1_000_000
