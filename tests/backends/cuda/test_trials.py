"""Trials of kernels: what a refusal says, and that a kernel that took the device is not tried again."""

import json
import logging
import subprocess
import sys
import sysconfig

import pytest
import torch
from support.card import Card

from inspectd.backends.cuda import trials
from inspectd.backends.cuda.trials import tried
from inspectd.errors import ExitCode, UnavailableError

ILLEGAL = "CUDA error: an illegal memory access was encountered"


def well():
    return None


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    return tmp_path / "cache" / "failed-kernels"


@pytest.fixture
def card(monkeypatch, folder):
    return Card(monkeypatch)


def takes(card, error):
    """A trial that takes the device, which the call that `error` comes from is the first to notice."""

    def trial():
        card.broken = ILLEGAL
        if error is not None:
            raise error

    return trial


def test_a_kernel_is_refused_for_what_it_raises_and_for_what_it_gives(caplog):
    assert tried("search", well) is None
    assert tried("search", lambda: "3 rows").reason == "wrong_result"
    for error in (
        ValueError("pointer"),
        KeyError("x"),
        AttributeError("y"),
        torch.AcceleratorError("invalid argument"),
    ):

        def fails(error=error):
            raise error

        found = tried("search", fails)
        assert found.reason == "not_compiled"
        assert found.detail.startswith(type(error).__name__)
    assert {record.getMessage() for record in caplog.records} == {"kernel_unavailable"}


@pytest.mark.parametrize("headers", [True, False])
def test_of_what_does_not_compile_without_python_s_headers_that_is_said(monkeypatch, tmp_path, headers):
    if headers:
        (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))

    def fails():
        raise subprocess.CalledProcessError(1, ["gcc", "main.c"])

    said = tried("search", fails).detail
    assert said.startswith("CalledProcessError: Command '['gcc', 'main.c']' returned non-zero exit status 1.")
    lacks = f"; Triton needs {tmp_path / 'Python.h'}, which is not there; install python3-dev"
    assert said.endswith(lacks) is not headers


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("full"), RuntimeError("Triton Error [CUDA]: out of memory")]
)
def test_a_full_device_is_not_the_kernel_s_fault(card, folder, error):
    def is_full():
        raise error

    with pytest.raises(type(error)):
        tried("search", is_full)
    assert not folder.exists()


@pytest.mark.parametrize(
    "error", [torch.AcceleratorError(ILLEGAL), RuntimeError(f"Triton Error [CUDA]: {ILLEGAL}"), None]
)
def test_a_kernel_that_took_the_device_ends_the_process_and_is_not_tried_again(card, folder, caplog, error):
    with pytest.raises(UnavailableError, match=r"is lost to this process: .*illegal memory access") as caught:
        tried("search, fused", takes(card, error))
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    (path,) = folder.iterdir()
    assert path.name.startswith("search-fused-")
    kept = json.loads(path.read_text())
    assert (kept["kernel"], kept["card"]) == ("search, fused", "NVIDIA H100")
    assert "illegal memory access" in kept["error"]

    card.broken = None  # the next process
    found = tried("search, fused", lambda: pytest.fail("was tried"))
    assert found.reason == "failed_before"
    assert f"delete {path} to try it again" in found.detail
    assert [record.getMessage() for record in caplog.records] == ["kernel_failed", "kernel_unavailable"]
    assert tried("another", well) is None
    path.write_text("cut off")
    assert tried("search, fused", well).reason == "failed_before"
    path.unlink()
    assert tried("search, fused", well) is None


@pytest.mark.parametrize(
    ("module", "name", "other"),
    [
        (torch.cuda, "get_device_name", lambda *_: "NVIDIA L4"),
        (torch, "__version__", "9.9"),
        (trials.importlib.metadata, "version", lambda _package: "9.9"),
    ],
    ids=["card", "torch", "triton"],
)
def test_another_card_or_version_is_another_trial(monkeypatch, card, module, name, other):
    with pytest.raises(UnavailableError):
        tried("search", takes(card, None))
    card.broken = None
    assert tried("search", well) is not None
    monkeypatch.setattr(module, name, other)
    assert tried("search", well) is None


def test_a_device_that_was_lost_before_is_not_blamed_on_the_kernel(card, folder):
    card.broken = ILLEGAL
    with pytest.raises(torch.AcceleratorError):
        tried("search", lambda: pytest.fail("was tried"))
    assert not folder.exists()


@pytest.mark.parametrize("place", ["file", "none"])
def test_a_failure_that_cannot_be_kept_is_told_and_ends_the_process_too(
    monkeypatch, tmp_path, card, caplog, place
):
    (tmp_path / "file").write_text("")
    for variable in ("CACHE_DIRECTORY", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(variable, raising=False)
    if place == "file":
        monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "file"))
    else:
        monkeypatch.setattr("os.getuid", lambda: 987_654)  # a user that the system does not know
    with pytest.raises(UnavailableError), caplog.at_level(logging.ERROR):
        tried("search", takes(card, None))
    (record,) = caplog.records
    assert record.getMessage() == "kernel_failure_not_kept"
    assert ("CACHE_DIRECTORY" in record.fields["detail"]) is (place == "none")


ON_A_CARD = """
import torch
from inspectd.backends.cuda.device import choose_device
from inspectd.backends.cuda.faults import answers
from inspectd.backends.cuda.trials import tried
from inspectd.errors import UnavailableError

device = choose_device("cuda")
graph = torch.cuda.CUDAGraph()
try:
    with torch.cuda.graph(graph):
        torch.cuda.synchronize()
except RuntimeError:
    print("capture failed,", "answers" if answers() else "lost")

def trial():
    torch.zeros(3, device=device)[torch.tensor([7], device=device)].clone()

try:
    print(tried("broken", trial).reason)
except UnavailableError as error:
    print("lost" if not answers() else "answers")
    raise SystemExit(error.exit_code)
"""


@pytest.mark.gpu
def test_on_a_card_a_kernel_that_fails_is_told_from_a_capture_that_fails_and_not_tried_again(folder):
    first, second = (
        subprocess.run([sys.executable, "-c", ON_A_CARD], capture_output=True, text=True, check=False)
        for _ in "12"
    )
    assert (first.stdout, first.returncode) == ("capture failed, answers\nlost\n", 3), first.stderr
    assert (second.stdout, second.returncode) == ("capture failed, answers\nfailed_before\n", 0), (
        second.stderr
    )
    assert "assert" in next(folder.iterdir()).read_text()
