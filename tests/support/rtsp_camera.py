"""Starts, stalls and kills the RTSP server of `rtsp_server.py`."""

import os
import signal
import subprocess
from pathlib import Path

from support.ports import free_port

SERVER = Path(__file__).with_name("rtsp_server.py")


class RtspCamera:
    """A real RTSP server on loopback that can be switched off and on, and frozen like a hung device."""

    def __init__(self, width: int = 320, height: int = 240, sliced: bool = False) -> None:
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/cam"
        self._settings = [str(width), str(height), str(sliced).lower()]
        self._process: subprocess.Popen | None = None

    def switch_on(self) -> None:
        command = ["/usr/bin/python3", SERVER, str(self.port), *self._settings]
        # Its warnings of clients that went away are of no use here.
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout.readline() == b"ready\n", "the RTSP server did not start"

    def switch_off(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def stall(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)
