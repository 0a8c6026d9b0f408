"""What banks are said to take of a device is what they take, and too many are refused before one is there."""

import logging
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from inspectd.backends.cuda.memory import Budget, Footprint, budget, check_fits, footprint, limit_memory
from inspectd.backends.cuda.search import HalfSearch
from inspectd.backends.cuda.tile_search import PRECISIONS, TileSearch
from inspectd.backends.reference import reference_pipeline
from inspectd.backends.scorer import Scorer
from inspectd.bank.file import BankFile, read_bank
from inspectd.errors import BankError, ExitCode, UnavailableError
from inspectd.model.patchcore import PatchCore


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
    said = footprint("a", "a.bank", bank)
    while_loading = held(detector, pipeline.head)

    loaded = []
    for search in (
        HalfSearch(detector.bank, "exact-float16", spacing=detector.scale),
        *(TileSearch(detector.bank, kind, detector.scale) for kind in PRECISIONS),
    ):
        detector.search_with(search)
        loaded.append(held(detector, pipeline.head))
    assert max(loaded) <= said.device_bytes <= 1.1 * max(loaded)
    assert while_loading <= said.device_bytes + said.loading_bytes


def test_gaussians_take_their_whole_matrices(bank_file: Path) -> None:
    manifest = msgspec.structs.replace(read_bank(bank_file).manifest, detector="padim")
    places, dims = 6, 4
    tensors = {
        "detector.factors": np.zeros((places, dims * (dims + 1) // 2), np.float32),
        "detector.means": np.zeros((2, 3, dims), np.float32),
    }
    said = footprint("a", "a.bank", BankFile(manifest, tensors, "0" * 64))
    assert said.device_bytes == 4 * (places * 10 + places * dims + places * dims * dims)
    assert said.loading_bytes == 0


def test_banks_that_fit_are_told_with_their_total(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        check_fits(
            [Footprint("a", "a.bank", 60, 20), Footprint("b", "b.bank", 20, 20)],
            Budget(200, 100, "all", "cuda:0"),
        )
    said = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [(one["recipe"], one["device_bytes"], one["total_bytes"]) for one in said] == [
        ("a", 60, 60),
        ("b", 20, 80),
    ]
    assert {one["budget_bytes"] for one in said} == {100}


UNIT = Path(__file__).parents[3] / "systemd/inspectd@.service"


def tried_again(code: ExitCode) -> bool:
    """Whether systemd starts the daemon again after it ended like that."""
    (given_up,) = re.findall(r"^RestartPreventExitStatus=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(int(code)) not in given_up.split()


@pytest.mark.parametrize(
    ("second", "needed"),
    [
        (Footprint("b", "b.bank", 50_000_000, 0), "110.0"),
        (Footprint("b", "b.bank", 30_000_000, 30_000_000), "120.0"),
    ],
)
@pytest.mark.parametrize(
    ("allowed", "kind", "basis"),
    [
        (budget("cuda:0", 500_000_000, 900_000_000, 100), BankError, "scoring.device_memory_mb = 100"),
        (budget("cuda:0", 90_000_000, 100_000_000, 0), BankError, "all of cuda:0"),
        (budget("cuda:0", 90_000_000, 100_000_000, 1000), BankError, "all of cuda:0"),
        (budget("cuda:0", 100_000_000, 900_000_000, 0), UnavailableError, "free on cuda:0 now"),
        (budget("cuda:0", 100_000_000, 900_000_000, 200), UnavailableError, "free on cuda:0 now"),
    ],
)
def test_what_never_fits_is_given_up_and_a_shortage_that_may_pass_is_not(
    second: Footprint, needed: str, allowed: Budget, kind: type[Exception], basis: str
) -> None:
    banks = [Footprint("a", "a.bank", 60_000_000, 0), second, Footprint("c", "c.bank", 1_000_000, 0)]
    with pytest.raises((BankError, UnavailableError)) as caught:
        check_fits(banks, allowed)
    assert type(caught.value) is kind
    assert tried_again(caught.value.exit_code) is (kind is UnavailableError)
    text = str(caught.value)
    assert text.startswith(f"recipe b: bank b.bank takes {second.device_bytes / 1e6:.1f} MB")
    assert f"{needed} MB" in text
    assert f"at most 100.0 MB ({basis})" in text


def test_what_never_fits_is_said_before_what_does_not_fit_now() -> None:
    banks = [Footprint("a", "a.bank", 60, 0), Footprint("b", "b.bank", 60, 0)]
    with pytest.raises(BankError, match=r"^recipe b: .*all of cuda:0"):
        check_fits(banks, budget("cuda:0", 50, 100, 0))


@pytest.mark.gpu
def test_memory_that_runs_out_while_a_bank_is_loaded_is_tried_again(bank_file: Path) -> None:
    try:
        torch.cuda.empty_cache()
        limit_memory("cuda", 0.001)
        with pytest.raises(UnavailableError, match="does not fit in the memory of") as caught:
            Scorer.load(bank_file, "cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert tried_again(caught.value.exit_code)


@pytest.mark.gpu
def test_a_budget_binds_the_device() -> None:
    try:
        allowed = limit_memory("cuda", 64)
        assert (allowed.most_bytes, allowed.basis) == (64_000_000, "scoring.device_memory_mb = 64")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(128_000_000, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    allowed = limit_memory("cuda", 0)
    assert 64_000_000 < allowed.free_bytes <= allowed.most_bytes
    assert allowed.basis.startswith("all of cuda")
