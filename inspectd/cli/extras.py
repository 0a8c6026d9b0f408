"""What commands say where the packages of an extra are not installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from inspectd.errors import UnavailableError
from inspectd.text import installing

FLEET_PACKAGES: Final = {
    "nats": "nats-py",
    "nkeys": "nkeys",
    "nacl": "pynacl",
    "prometheus_client": "prometheus-client",
}
"""Of the extra `fleet`, by the name that is imported."""


@contextmanager
def needing(command: str, **extras: Mapping[str, str]) -> Iterator[None]:
    """Say what a command lacks, where a package of an extra is imported and not there.

    Args:
        command: the command, as people type it.
        extras: names of packages by the name that is imported, of each extra.

    Raises:
        UnavailableError: one of them is not installed. Another module that is missing is a fault, and stays
            what it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        for extra, packages in extras.items():
            if (name := error.name or "") in packages:
                raise UnavailableError(
                    f"`inspectd {command}` needs {packages[name]}, which is not installed here; "
                    f"{installing(extra)} brings all that it needs"
                ) from error
        raise


def needed(command: str, module: str, **extras: Mapping[str, str]) -> ModuleType:
    """A module that stands on packages of an extra.

    Raises:
        UnavailableError: as `needing`.
    """
    with needing(command, **extras):
        return importlib.import_module(module)
