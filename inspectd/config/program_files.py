"""Files of the programs beside a line: each is read in one way, and every problem of it is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

import msgspec

from inspectd.config.problems import problems, sound
from inspectd.config.reading import read_toml
from inspectd.config.values import Settings
from inspectd.errors import ConfigError

_File = TypeVar("_File", bound=Settings)


class LineSockets(Protocol):
    """What the file of a program says of the line's sockets."""

    @property
    def verdicts(self) -> str:
        """Its socket for verdicts, which others may lie beside."""

    @property
    def server_key(self) -> str | None:
        """File of the line's public key."""

    @property
    def client_key(self) -> str | None:
        """File of the program's own key."""


def load_program(
    path: Path,
    kind: type[_File],
    paths: Mapping[str, tuple[str, ...]],
    own_problems: Callable[[_File], Iterable[str]],
) -> _File:
    """Read a program's file; relative paths in it become absolute, from the file's own folder.

    Args:
        path: the file.
        kind: all its tables.
        paths: settings that name files or folders, by table.
        own_problems: what does not fit together, in words.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has problems; all of them are listed.
    """
    data = read_toml(path)
    found = [*problems(data, kind, "")]
    settings: _File | None = sound(_faultless(data, kind), kind)
    if settings is not None:  # what does not fit together is told beside what is wrong by itself
        faulty = {problem.partition(":")[0] for problem in found}
        found += [each for each in own_problems(settings) if not any(name in each for name in faulty)]
    if found or settings is None:
        raise ConfigError(str(path), found)
    base = path.resolve().parent
    tables = {name: _absolute(getattr(settings, name), given, base) for name, given in paths.items()}
    return msgspec.structs.replace(settings, **tables)


def socket_problems(line: LineSockets, wanted: Mapping[str, bool]) -> Iterator[str]:
    """What is wrong with where sockets of a line are.

    Args:
        line: the table.
        wanted: settings of other sockets than `verdicts`, and whether the program needs them.
    """
    is_local = line.verdicts.startswith("ipc://") and line.verdicts.endswith("/verdicts.sock")
    for name, is_wanted in wanted.items():
        given = getattr(line, name)
        if not given and not is_local and is_wanted:
            yield f"line.{name}: is empty, expected an endpoint: line.verdicts is no local one"
        if given and not given.startswith(("ipc://", "tcp://")):
            yield f"line.{name}: got {given!r}, expected ipc:///PATH or tcp://HOST:PORT"


def endpoint(line: LineSockets, name: str) -> str:
    """Where a socket of a line is: as the settings say, or beside a local `verdicts.sock`."""
    given: str = getattr(line, name)
    return given or f"{line.verdicts.removesuffix('verdicts.sock')}{name}.sock"


def line_problems(line: LineSockets, sockets: Iterable[str]) -> Iterator[str]:
    """What is wrong with how a line is reached, by `verdicts` and these other sockets."""
    yield from socket_problems(line, dict.fromkeys(sockets, True))
    if (line.server_key is None) != (line.client_key is None):
        yield "line.server_key, line.client_key: one is missing, expected both or neither"


def _faultless(data: dict[str, Any], kind: type[Settings]) -> dict[str, Any]:
    """The file without the settings that are wrong by themselves; without a table that must have them."""
    left: dict[str, Any] = {}
    for name, of_table in get_type_hints(kind, include_extras=True).items():
        table = data.get(name)
        if not isinstance(table, dict) or not isinstance(of_table, type):
            left |= {name: table} if name in data else {}
            continue
        hints = get_type_hints(of_table, include_extras=True)
        left[name] = {k: v for k, v in table.items() if k in hints and not [*problems(v, hints[k], "")]}
    return left


def _absolute(table: Settings, names: tuple[str, ...], base: Path) -> Settings:
    given = {name: getattr(table, name) for name in names}
    return msgspec.structs.replace(table, **{k: str(base / v) for k, v in given.items() if v})
