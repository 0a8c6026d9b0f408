"""Faults of a CUDA device: its memory is full, or it is lost to this process. Loads no torch of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from inspectd.errors import UnavailableError

_FULL: Final = (
    "out of memory", "cudaErrorMemoryAllocation", "STATUS_ALLOC_FAILED", "ALLOCATION_FAILED",
)  # fmt: skip
_FULL_IF_LITTLE_IS_FREE: Final = (
    "unable to find an engine", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED",
)  # fmt: skip
"""Also said for other reasons: cuDNN tries plan after plan and never tells that each lacked its workspace."""

_LITTLE_BYTES: Final = 1 << 30


def exhausted(error: BaseException) -> bool:
    """Whether an error says that the memory of the CUDA device is full; torch has a class for few of them.

    To give memory back, let the error go first: its traceback holds the tensors of the call that failed.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    if any(words in text for words in _FULL):
        return True
    return any(words in text for words in _FULL_IF_LITTLE_IS_FREE) and _free_bytes(torch) < _LITTLE_BYTES


def answers() -> bool:
    """Whether the CUDA device still computes for this process.

    After a kernel's illegal access or failed assertion it does not, in any call, until the process ends.
    Which call raises that first, with which class and text, depends on the library that makes it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    take_last_error()
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def take_last_error() -> None:
    """Take away what the last call left behind: else the next launch, which is sound, raises it."""
    torch = sys.modules["torch"]
    with suppress(RuntimeError):  # that is the way to take it; of a device that is lost, every call tells
        torch.cuda._sleep(1)  # noqa: SLF001 - the shortest launch there is; its check takes the error


def lost(error: BaseException) -> UnavailableError:
    """What to raise where the device no longer answers: this process cannot go on, another can."""
    return UnavailableError(
        f"the CUDA device failed and is lost to this process: {_in_short(error)}; the kernel's log "
        "(journalctl -k, NVRM: Xid) and nvidia-smi show whether the card is sound"
    )


@contextmanager
def faults_told() -> Iterator[None]:
    """Around what computes: a device that is full or lost is one line and exit code 3, not a traceback.

    Raises:
        UnavailableError: the device is full, or lost to this process.
    """
    try:
        yield
    except RuntimeError as error:
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            raise
        if exhausted(error):
            told = UnavailableError(f"the memory of the CUDA device is full: {_in_short(error)}")
        elif isinstance(error, torch.AcceleratorError) or not answers():
            told = lost(error)
        else:
            raise
        raise told from error


def _free_bytes(torch: Any) -> int:
    """Of the device, or of what torch may take of it where that is less."""
    try:
        free, there = torch.cuda.mem_get_info()
        allowed = torch.cuda.get_per_process_memory_fraction() * there - torch.cuda.memory_reserved()
    except RuntimeError:  # it does not answer: full or not is no question any more
        return sys.maxsize
    return min(int(free), int(allowed))


def _in_short(error: BaseException) -> str:
    """Torch adds lines of advice for those who write kernels."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
