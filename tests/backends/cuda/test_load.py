"""What happens to a bank for a CUDA device where its graphs cannot be recorded; no card is there."""

import pytest
import torch
from support.card import Card

from inspectd.backends.base import ScoringOptions
from inspectd.backends.cuda import load
from inspectd.bank.file import read_bank
from inspectd.errors import UnavailableError

ILLEGAL = "CUDA error: an illegal memory access was encountered"


@pytest.fixture
def recorded(monkeypatch, bank_file):
    """Loads a bank with a card whose first stream, or what the stream is for, raises an error."""

    def record(error):
        def fails(_device):
            raise error

        monkeypatch.setattr(torch.cuda, "Stream", fails)
        return load._recorded(bank_file, read_bank(bank_file), torch.device("cpu"), ScoringOptions())

    return record


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing"),
        RuntimeError("no graphs"), AttributeError("a Triton of another torch"), KeyError("num_warps"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_where_graphs_cannot_be_recorded_the_reference_computes(monkeypatch, recorded, caplog, error):
    Card(monkeypatch)
    assert recorded(error) is None
    (record,) = [one for one in caplog.records if one.getMessage() == "cuda_graphs_unavailable"]
    assert record.fields["detail"].startswith(type(error).__name__)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("full"), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")]
)
def test_a_full_device_is_not_asked_for_the_reference_which_takes_more(monkeypatch, recorded, caplog, error):
    Card(monkeypatch)
    with pytest.raises(type(error)):
        recorded(error)
    assert "cuda_graphs_unavailable" not in caplog.text


def test_a_lost_device_is_not_asked_for_anything_more(monkeypatch, recorded, caplog):
    Card(monkeypatch).broken = ILLEGAL
    with pytest.raises(UnavailableError, match="lost to this process"):
        recorded(torch.AcceleratorError(ILLEGAL))
    assert "cuda_graphs_unavailable" not in caplog.text


def test_a_bank_that_does_not_fit_says_so_and_holds_no_tensors(monkeypatch, bank_file):
    Card(monkeypatch)
    monkeypatch.setattr(load, "choose_device", lambda _name: torch.device("cpu"))

    def is_full(_device):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(torch.cuda, "Stream", is_full)
    with pytest.raises(
        UnavailableError, match=r"does not fit in the memory of cpu now: .*ALLOC_FAILED"
    ) as caught:
        load.load(bank_file, read_bank(bank_file), "cuda", ScoringOptions())
    assert caught.value.__context__ is None
