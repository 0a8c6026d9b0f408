"""What banks are said to take of a device is what they take, and too many are refused before one is there."""

import logging
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from inspectd.bank.reference import reference_pipeline
from inspectd.bank.residency import Resident, admit, hold_to, resident
from inspectd.bank.store import BankFile, read_bank
from inspectd.detectors.patchcore import PatchCore
from inspectd.errors import BankError, ExitCode
from inspectd.search.fused import FusedProposals
from inspectd.search.half import HalfSearch


def held(*things: Any) -> int:
    """Bytes of every tensor that can be reached, each memory counted once."""
    storages: dict[int, int] = {}
    seen: set[int] = set()
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            storages[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, (list, tuple)):
            waiting += thing
        elif hasattr(thing, "__dict__"):
            waiting += vars(thing).values()
    return sum(storages.values())


def test_a_bank_takes_what_is_said(bank_file: Path) -> None:
    bank = read_bank(bank_file)
    pipeline = reference_pipeline(bank_file, bank, torch.device("cpu"))
    detector = pipeline.detector
    assert isinstance(detector, PatchCore)
    said = resident("a", "a.bank", bank)
    while_loading = held(detector, pipeline.head)

    search = HalfSearch(detector.bank, "exact-float16")
    rows = search._proposals[0]._columns.T.contiguous()
    search._proposals.append(FusedProposals(rows, torch.zeros(len(rows))))
    detector.search_with(search)
    loaded = held(detector, pipeline.head)
    assert loaded <= said.device_bytes <= 1.1 * loaded
    assert while_loading <= said.device_bytes + said.loading_bytes


def test_gaussians_take_their_whole_matrices(bank_file: Path) -> None:
    manifest = msgspec.structs.replace(read_bank(bank_file).manifest, detector="padim")
    places, dims = 6, 4
    tensors = {
        "detector.factors": np.zeros((places, dims * (dims + 1) // 2), np.float32),
        "detector.means": np.zeros((2, 3, dims), np.float32),
    }
    said = resident("a", "a.bank", BankFile(manifest, tensors, "0" * 64))
    assert said.device_bytes == 4 * (places * 10 + places * dims + places * dims * dims)
    assert said.loading_bytes == 0


def test_banks_that_fit_are_told_with_their_total(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        admit([Resident("a", "a.bank", 60, 20), Resident("b", "b.bank", 20, 20)], 100, "free")
    said = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [(one["recipe"], one["device_bytes"], one["total_bytes"]) for one in said] == [
        ("a", 60, 60),
        ("b", 20, 80),
    ]
    assert {one["budget_bytes"] for one in said} == {100}


@pytest.mark.parametrize(
    ("second", "needed"),
    [
        (Resident("b", "b.bank", 50_000_000, 0), "110.0"),
        (Resident("b", "b.bank", 30_000_000, 30_000_000), "120.0"),
    ],
)
def test_the_first_that_does_not_fit_is_named(second: Resident, needed: str) -> None:
    banks = [Resident("a", "a.bank", 60_000_000, 0), second, Resident("c", "c.bank", 1_000_000, 0)]
    with pytest.raises(BankError) as caught:
        admit(banks, 100_000_000, "scoring.device_memory_mb = 100")
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    text = str(caught.value)
    assert text.startswith(f"recipe b: bank b.bank takes {second.device_bytes / 1e6:.1f} MB")
    assert f"{needed} MB" in text
    assert "at most 100.0 MB (scoring.device_memory_mb = 100)" in text


@pytest.mark.gpu
def test_a_budget_binds_the_device() -> None:
    try:
        budget, basis = hold_to("cuda", 64)
        assert (budget, basis) == (64_000_000, "scoring.device_memory_mb = 64")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(128_000_000, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    free, basis = hold_to("cuda", 0)
    assert free > 64_000_000
    assert basis.startswith("free on cuda")
