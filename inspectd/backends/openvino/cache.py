"""Cache of converted models.

Entries are named by everything they depend on, carry a digest, and appear whole or not at all. One that is
damaged counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy

import inspectd
from inspectd import backends, model
from inspectd.backends.openvino.pipeline import Exported
from inspectd.config.places import cache_directory
from inspectd.errors import UnavailableError
from inspectd.files import write_bytes
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.bank")
_DIGEST_BYTES: Final = 32
_PARTS: Final = ("extract.xml", "extract.bin", "judge.xml", "judge.bin")
_MOST_ENTRIES: Final = 64


class ModelCache:
    """A directory of entries.

    Args:
        folder: where; None: $CACHE_DIRECTORY, else `inspectd` below $XDG_CACHE_HOME or ~/.cache. Without
            such a place nothing is kept, and everything is worked out at each start.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_directory()
        if self.folder is None:
            event(_log, logging.WARNING, "no_cache", advice="set $CACHE_DIRECTORY or $HOME: starts are slow")

    def models(self, scoring_sha256: str) -> Exported | None:
        """The converted models of a bank; None: they must be converted."""
        data = self._read(self._models_path(scoring_sha256))
        if data is None:
            return None
        parts = safetensors.numpy.load(data)
        extract_xml, extract_bin, judge_xml, judge_bin = (parts[name].tobytes() for name in _PARTS)
        return Exported((extract_xml, extract_bin), (judge_xml, judge_bin))

    def keep_models(self, scoring_sha256: str, models: Exported) -> None:
        """Keep the converted models of a bank."""
        parts = dict(zip(_PARTS, (*models.extract, *models.judge), strict=True))
        arrays = {name: np.frombuffer(part, dtype=np.uint8) for name, part in parts.items()}
        self._write(self._models_path(scoring_sha256), safetensors.numpy.save(arrays))

    def _models_path(self, scoring_sha256: str) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{_named(scoring_sha256, _version('torch'), _source_digest())}.models"

    def _read(self, path: Path | None) -> bytes | None:
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            event(_log, logging.WARNING, "cache_entry_damaged", path=str(path))
            return None
        with contextlib.suppress(OSError):  # of another user: its entries are as old as they were written
            os.utime(path)
        return content

    def _write(self, path: Path | None, content: bytes) -> None:
        if path is None:
            return
        try:
            write_bytes(path, hashlib.sha256(content).digest() + content)
        except UnavailableError as error:
            # Loading takes longer next time; nothing else is lost.
            event(_log, logging.WARNING, "cache_not_writable", path=str(path), detail=str(error))
        self._forget_oldest(path.parent)

    @staticmethod
    def _forget_oldest(folder: Path) -> None:
        """Keep the entries used last; one that cannot be removed is passed over and named."""
        ages = {entry: age for entry in folder.glob("*.models*") if (age := _age(entry)) is not None}
        for entry in sorted(ages, key=lambda entry: ages[entry])[:-_MOST_ENTRIES]:
            try:
                entry.unlink(missing_ok=True)
            except OSError as error:
                event(_log, logging.WARNING, "cache_entry_stuck", path=str(entry), detail=error.strerror)


def _age(entry: Path) -> int | None:
    """When it was used last, in nanoseconds; None if it is gone or cannot be looked at."""
    try:
        return entry.stat().st_mtime_ns
    except OSError:
        return None


def _named(*facts: str) -> str:
    text = "\0".join((inspectd.__version__, _version("openvino"), *facts))
    return hashlib.sha256(text.encode()).hexdigest()


def _version(package: str) -> str:
    return importlib.metadata.version(package) if importlib.util.find_spec(package) else "none"


def _source_digest() -> str:
    """Of the code that a converted model was made by: an entry must not outlive the numerics it holds."""
    sha = hashlib.sha256()
    for package in (model, backends):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            sha.update(path.read_bytes())
    return sha.hexdigest()
