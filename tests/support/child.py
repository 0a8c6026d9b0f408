"""A child process for tests of the supervisor; its last argument says how it behaves."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from inspectd.capture.messages import ToCapture
from inspectd.ipc.channel import Channel
from inspectd.ipc.child import die_with_parent
from inspectd.ipc.messages import Alive, Failed


def main() -> int:
    end = socket.socket(fileno=int(sys.argv[sys.argv.index("--channel") + 1]))
    behaviour = sys.argv[-1]
    if behaviour.startswith("exit:"):
        return int(behaviour.partition(":")[2])
    if behaviour == "nonsense":
        end.send(b"nonsense")
        time.sleep(60)
    if behaviour == "tied":
        die_with_parent()
    if behaviour in ("ignore-signals", "tied"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel = Channel(end, ToCapture)
    if behaviour == "fail":
        channel.send(Failed("the bank is gone", 2))
        return 2
    if behaviour == "replaced":
        channel.send(Failed("the program's files were replaced", 3, is_replaced=True))
        return 3
    channel.send(Alive(os.getpid()), (0,) if behaviour == "descriptor" else ())
    if behaviour.startswith("write:"):
        Path(behaviour.partition(":")[2]).touch()
    if behaviour == "ignore-signals":
        time.sleep(60)  # not even the end of its channel
    channel.wait(60)
    if behaviour == "eat":
        eaten = bytearray(1 << 30)
        eaten[::4096] = b"x" * len(eaten[::4096])
    if behaviour in ("answer", "tied"):
        channel.send(Alive(time.monotonic_ns()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
