"""Trials of Triton kernels at load: one is used only where it compiles and gives what torch gives."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import torch

from inspectd.backends.cuda.driver import find_driver
from inspectd.backends.cuda.faults import answers, exhausted, lost
from inspectd.config.places import cache_directory
from inspectd.errors import InspectdError, UnavailableError
from inspectd.files import write_bytes
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.scoring")
_OLDEST: Final = (8, 0)


class FailedKernel(msgspec.Struct, frozen=True):
    """What is remembered of a kernel that took the device from the process that tried it.

    Attributes:
        kernel: its name in logs.
        card: its name.
        driver: version.
        torch: version.
        triton: version.
        code: SHA-256 of this backend's sources; others may hold a kernel that works.
        error: in words.
    """

    kernel: str
    card: str
    driver: str
    torch: str
    triton: str
    code: str
    error: str = ""

    def path(self) -> Path | None:
        """Where it is remembered; None: there is no place."""
        folder = cache_directory()
        if folder is None:
            return None
        facts = (self.kernel, self.card, self.driver, self.torch, self.triton, self.code)
        key = hashlib.sha256("\0".join(facts).encode()).hexdigest()
        return folder / "failed-kernels" / f"{re.sub('[^a-z0-9]+', '-', self.kernel.lower())}-{key[:16]}.json"


@dataclass(frozen=True)
class KernelRefusal:
    """Reason why a kernel is not used, by name for machines and in words for people.

    Attributes:
        unexpected: the machine meets all requirements, and still it did not work.
    """

    reason: str
    detail: str
    unexpected: bool = False


def missing_for_kernels(device: torch.device) -> KernelRefusal | None:
    """What Triton's kernels need and a machine lacks; None: nothing."""
    if device.type != "cuda":
        return KernelRefusal("not_on_cuda", f"device {device}")
    if importlib.util.find_spec("triton") is None:
        return KernelRefusal("no_triton", "the package triton is not installed")
    capability = torch.cuda.get_device_capability(device)
    if capability < _OLDEST:
        return KernelRefusal("card_too_old", f"compute capability {capability}, expected {_OLDEST} or newer")
    if "CC" not in os.environ and shutil.which("gcc") is None and shutil.which("clang") is None:
        return KernelRefusal("no_c_compiler", "Triton needs a C compiler; install gcc or clang")
    return None


def tried(kernel: str, trial: Callable[[], str | None]) -> KernelRefusal | None:
    """Run a kernel's trial; the reason why the kernel must not be used is also logged. None: it may be used.

    A kernel that takes the device from this process (an illegal access) is remembered, for this card, driver
    and these versions: the next process does not try it.

    Args:
        kernel: its name in logs.
        trial: imports, compiles and runs the kernel beside torch, on the current device; says what was wrong,
            or None.

    Raises:
        RuntimeError: the device has not the memory to try it; see `faults.exhausted`.
        UnavailableError: the kernel took the device; this process must end.
    """
    facts = _facts(kernel) if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    refusal = (_failed_before(facts) if facts else None) or _refused(trial, facts)
    if refusal is None:
        return None
    event(
        _log, logging.WARNING, "kernel_unavailable", kernel=kernel, reason=refusal.reason,
        detail=refusal.detail,
    )  # fmt: skip
    return refusal


def _refused(trial: Callable[[], str | None], facts: FailedKernel | None) -> KernelRefusal | None:
    if facts:
        torch.cuda.synchronize()  # what fails from here on, the kernel did
    try:
        wrong = trial()
        if facts:
            torch.cuda.synchronize()
    except InspectdError:
        raise
    except Exception as error:  # Triton raises errors of many kinds, some of them its own
        if exhausted(error):
            raise  # not the kernel's fault: whoever loads the bank reports a full device
        if facts and not answers():
            _remember(msgspec.structs.replace(facts, error=f"{type(error).__name__}: {error}"))
            raise lost(error) from error
        detail = f"{type(error).__name__}: {error}{_missing_header()}"
        return KernelRefusal("not_compiled", detail, unexpected=True)
    return None if wrong is None else KernelRefusal("wrong_result", wrong, unexpected=True)


def _missing_header() -> str:
    """What the error of a C compiler does not say: it prints that the header it was given is not there."""
    header = Path(sysconfig.get_path("include", "posix_prefix")) / "Python.h"
    return "" if header.is_file() else f"; Triton needs {header}, which is not there; install python3-dev"


def _facts(kernel: str) -> FailedKernel:
    """What a failure would depend on, asked while the device answers."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    triton = importlib.metadata.version("triton") if importlib.util.find_spec("triton") else "none"
    return FailedKernel(
        kernel,
        torch.cuda.get_device_name(),
        find_driver().version,
        str(torch.__version__),
        triton,
        sources.hexdigest(),
    )


def _failed_before(facts: FailedKernel) -> KernelRefusal | None:
    path = facts.path()
    if path is None or not path.exists():
        return None
    try:
        error = msgspec.json.decode(path.read_bytes(), type=FailedKernel).error.partition("\n")[0]
    except (OSError, msgspec.DecodeError) as unread:  # that it is there is enough
        error = f"unknown, the file cannot be read: {unread}"
    return KernelRefusal(
        "failed_before", f"it took the card from an earlier process ({error}); delete {path} to try it again",
        unexpected=True,
    )  # fmt: skip


def _remember(failed: FailedKernel) -> None:
    path = failed.path()
    detail = "there is no place for it; set $CACHE_DIRECTORY or $HOME"
    if path is not None:
        try:
            write_bytes(path, msgspec.json.format(msgspec.json.encode(failed)))
        except UnavailableError as error:
            detail = str(error)
        else:
            event(
                _log,
                logging.ERROR,
                "kernel_failed",
                kernel=failed.kernel,
                detail=failed.error,
                path=str(path),
            )
            return
    # The next process will try it again, and fail again.
    event(_log, logging.ERROR, "kernel_failure_not_kept", kernel=failed.kernel, detail=detail)
