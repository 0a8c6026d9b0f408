"""Packages that only one of the ways to cameras needs, and that may not be installed."""

from __future__ import annotations

import importlib

from inspectd.capture.driver import CameraError
from inspectd.text import installing


def need_package(backend: str, module: str) -> None:
    """See to it that what a way to cameras stands on is there.

    Args:
        backend: the way; the extra that brings the package is called likewise.
        module: of the package, such as `genicam.genapi`; it takes some megabytes.

    Raises:
        CameraError: it is not installed.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise CameraError(
            f'cameras with backend = "{backend}" need the package {package}, which is not installed here; '
            f"{installing(backend)} brings it"
        ) from error
