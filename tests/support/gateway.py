"""`inspectd gateway modbus` as a process for tests, and what a PLC does with it."""

from __future__ import annotations

import logging
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pymodbus.client import ModbusTcpClient
from support.ports import free_port
from support.structured_text import FunctionBlock

from inspectd.gateways.registers import FORMATS, STATUS

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what fails is seen by its callers

PAGE = Path(__file__).parents[2] / "docs" / "gateways" / "modbus.md"


class GatewayProcess:
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
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        with self.log.open("ab") as log:
            began = log.tell()
            command = [sys.executable, "-m", "inspectd", "gateway", self.kind, "--config", str(self._file)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while self.ready not in self.log.read_bytes()[began:]:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, "the gateway does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as systemd would; its exit code."""
        return self._end(signal.SIGTERM)

    def rss_mb(self) -> float:
        """Memory it has."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_seconds(self) -> float:
        """Processor time it took so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _end(self, signum: int) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(10)


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
    (text,) = re.findall(r"```iecst\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return FunctionBlock(text, Control=[0] * 34, Status=[0] * 40, **values)


def now_ms() -> int:
    """A PLC's run time."""
    return time.monotonic_ns() // 1_000_000
