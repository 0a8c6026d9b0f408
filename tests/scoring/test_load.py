"""What a scoring process loads where banks of those to spare cannot be used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from inspectd.config import KeyedRecipe, ScoringSettings
from inspectd.errors import BankError, UnavailableError
from inspectd.scoring.messages import StartScoring
from inspectd.scoring.worker import load


def test_a_bank_to_spare_that_is_damaged_or_gone_is_left_out_and_one_that_is_needed_is_refused(
    bank_file: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.bank"
    damaged.write_bytes(bank_file.read_bytes()[:-1000])
    banks = {"sound": bank_file, "damaged": damaged, "gone": tmp_path / "gone.bank"}
    recipes = tuple(KeyedRecipe(name=name, bank=str(path)) for name, path in banks.items())
    start = StartScoring(ScoringSettings(device="cpu"), recipes, 1, spare=("gone", "damaged"))
    found, scorers = load(start)
    assert [bank.recipe for bank in found.banks] == [pace.recipe for pace in found.paces] == ["sound"]
    assert set(scorers) == {"sound"}
    for spare in (("gone",), ("damaged",)):
        with pytest.raises(BankError):
            load(msgspec.structs.replace(start, spare=spare))


def test_a_bank_whose_heatmaps_the_machine_carries_to_nobody_is_refused_before_it_scores(
    bank_file: Path,
) -> None:
    recipes = tuple(KeyedRecipe(name=name, bank=str(bank_file)) for name in ("first", "second"))
    start = StartScoring(ScoringSettings(device="cpu"), recipes, 1, spare=("first", "second"))
    found, scorers = load(start, most_record_bytes=4_097)
    assert (found.banks, found.paces, scorers) == ([], [], {})
    with pytest.raises(UnavailableError, match=r"send one another 4097 at once, .*; set net\.core\.wmem_max"):
        load(msgspec.structs.replace(start, spare=("second",)), most_record_bytes=4_097)


def test_a_bank_to_spare_that_is_too_slow_now_is_left_out_and_one_that_is_needed_is_refused(
    bank_file: Path,
) -> None:
    recipes = tuple(KeyedRecipe(name=name, bank=str(bank_file)) for name in ("first", "second"))
    nothing_is_as_fast = ScoringSettings(device="cpu", stall_timeout_ms=1e-6)
    start = StartScoring(nothing_is_as_fast, recipes, 1, spare=("first", "second"))
    found, scorers = load(start)
    assert (found.banks, found.paces, scorers) == ([], [], {})
    with pytest.raises(UnavailableError, match="stall_timeout_ms"):
        load(msgspec.structs.replace(start, spare=("second",)))
