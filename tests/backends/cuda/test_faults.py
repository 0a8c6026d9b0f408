"""A device that is full, or lost to this process, is told from other errors, and ends as one line."""

import pytest
import torch
from support.card import Card

from inspectd.backends.cuda.faults import answers, exhausted, faults_told
from inspectd.cli import main
from inspectd.errors import ExitCode, UnavailableError

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    RuntimeError("cudaErrorMemoryAllocation: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
]
FULL_IF_LITTLE_IS_FREE = [
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
]
ILLEGAL = "CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`"


@pytest.mark.parametrize("error", FULL, ids=str)
def test_every_library_s_word_for_a_full_device_is_known(error):
    assert exhausted(error)


@pytest.mark.parametrize("error", FULL_IF_LITTLE_IS_FREE, ids=str)
@pytest.mark.parametrize(
    ("free_mb", "share", "full"),
    [(100, 1.0, True), (50_000, 1.0, False), (50_000, 0.01, True)],
    ids=["full card", "room", "all that torch may take"],
)
def test_what_may_mean_a_full_device_does_so_where_little_is_free(monkeypatch, error, free_mb, share, full):
    Card(monkeypatch, free_mb=free_mb, share=share)
    assert exhausted(error) is full


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError(ILLEGAL),
        RuntimeError("shapes differ"),
        MemoryError(),
        ValueError("out of memory"),
    ],
)
def test_other_errors_are_not_a_full_device(error):
    assert not exhausted(error)


def test_a_device_answers_until_a_kernel_took_it_and_a_call_that_failed_does_not_count(monkeypatch):
    assert answers()  # nothing was asked of a device
    card = Card(monkeypatch)
    card.last_error = "CUDA error: invalid argument"
    assert answers()
    torch.cuda._sleep(1)  # the error was taken away: the next launch is not blamed
    card.broken = ILLEGAL
    assert not answers()


@pytest.mark.parametrize(
    "error", [torch.AcceleratorError(ILLEGAL), RuntimeError("Triton Error [CUDA]: illegal")]
)
def test_a_lost_device_is_one_line_with_exit_code_3(monkeypatch, error):
    Card(monkeypatch).broken = ILLEGAL
    with (
        pytest.raises(UnavailableError, match=r"the CUDA device failed and is lost.*NVRM: Xid") as caught,
        faults_told(),
    ):
        raise error
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert "\n" not in str(caught.value)


def test_a_device_without_memory_for_one_frame_is_one_line_with_exit_code_3(monkeypatch):
    Card(monkeypatch)
    with (
        pytest.raises(UnavailableError, match="memory of the CUDA device is full: OutOfMemoryError"),
        faults_told(),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_an_error_of_ours_keeps_its_traceback(monkeypatch):
    with pytest.raises(RuntimeError, match="out of memory"), faults_told():
        raise RuntimeError("out of memory")  # of the host: nothing was asked of a device
    Card(monkeypatch)
    with pytest.raises(RuntimeError, match="shapes differ"), faults_told():
        raise RuntimeError("shapes differ")


def test_a_command_ends_with_one_line(monkeypatch, capsys):
    Card(monkeypatch)

    def fails(_arguments):
        raise torch.AcceleratorError(ILLEGAL)

    monkeypatch.setattr("inspectd.cli.bench.main", fails)
    assert main(["bench"]) == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err.startswith("error: the CUDA device failed and is lost to this process")
