"""Where the sockets of a line lie that runs on this host."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from typing import Final

from inspectd.cli.line_folders import kept_by, runtime_places
from inspectd.cli.numbers import patience
from inspectd.client import ClientKeys
from inspectd.errors import InputError, UnavailableError
from inspectd.files import is_file

_CONNECT_SECONDS: Final = 1.0
_USUAL_PORTS: Final = {"verdicts": 5571, "sync": 5573}


def add_asking(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a command that asks a line at one of its sockets."""
    parser.add_argument("--server-key", type=Path, metavar="FILE", help="the line's public key, for TCP")
    parser.add_argument(
        "--client-key", type=Path, metavar="FILE", help="this client's NAME.key_secret, for TCP"
    )
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS",
        help="longest wait for an answer; default: 5",
    )  # fmt: skip


def keys_and_patience(arguments: argparse.Namespace) -> tuple[ClientKeys | None, float]:
    """What these options say: the keys for TCP, if any, and the longest wait in seconds.

    Raises:
        InputError: one of the two keys is missing, or the wait is none.
    """
    if bool(arguments.server_key) != bool(arguments.client_key):
        raise InputError("expected both keys, --server-key and --client-key, or neither")
    keys = ClientKeys(arguments.server_key, arguments.client_key) if arguments.server_key else None
    return keys, patience(arguments.timeout)


def endpoint_of(text: str, name: str) -> str:
    """An endpoint as it is; of a line's configuration file its socket `name` on this host.

    Raises:
        InputError: it is neither.
        ConfigError: the file cannot be used.
        UnavailableError: no line runs by it here.
    """
    if "://" in text:
        return text
    if not is_file(Path(text)):
        raise InputError(
            f"{text!r}: is no file here, expected ipc:///path/to/{name}.sock or "
            f"tcp://127.0.0.1:{_USUAL_PORTS[name]}, or the configuration file of a line on this host"
        )
    return socket_of(Path(text), name)


def socket_of(file: Path, name: str) -> str:
    """The endpoint of a socket, `sync`, `control` or `verdicts`, of the line whose configuration `file` is.

    Raises:
        ConfigError: the file cannot be used.
        UnavailableError: no line runs by it here.
    """
    sockets = [f"{place}/{name}.sock" for place in runtime_places(kept_by(file).line, file)]
    found = next((path for path in sockets if _is_listened_at(path)), None)
    if found is None:
        raise UnavailableError(
            f"{file}: its line does not run here, or may not be seen by this user (group inspectd): "
            f"no {' and no '.join(sockets)}"
        )
    return f"ipc://{found}"


def _is_listened_at(path: str) -> bool:
    """Whether somebody listens there; a line that was killed leaves its sockets.

    Where this user may not connect, whoever asks is told so.
    """
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where the directory may not be looked into
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        try:
            connection.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True
