"""The fused kernel: arithmetic by Triton's interpreter, compilation for cards, and what a card answers."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inspectd.backends.cuda.search import HalfSearch
from inspectd.backends.cuda.triton_kernel import (
    DIMS,
    OPTIONS,
    QUERIES,
    FusedProposals,
    fused_proposals,
    nearest_rows,
    refusal,
)
from inspectd.backends.cuda.triton_kernel import ROWS as TILE_ROWS
from inspectd.errors import InputError
from inspectd.model.search import ExactSearch


@pytest.fixture(scope="module")
def interpreted():
    # The interpreter is chosen when Triton is imported, for the whole process.
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kernel_on_cpu.py"))],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_nearest_are_among_the_candidates(interpreted):
    for case in interpreted[:-1]:
        assert case["shape"] == case["wanted"]
        assert case["kept"] == 1.0
        assert case["doubles"] == 0


def test_every_candidate_is_a_row_of_the_bank(interpreted):
    assert [case["outside"] for case in interpreted[:-1]] == [0] * (len(interpreted) - 1)


def test_a_query_that_is_no_number_stays_none(interpreted):
    assert interpreted[-1]["no_number"]


def test_a_trial_finds_out_whether_the_answers_are_right(interpreted):
    for case in interpreted[:-1]:
        some_are_left_out = case["wanted"][1] < case["rows"]
        assert case["misses"] == 0
        assert (case["misses_of_another_bank"] > 0) == some_are_left_out


def test_the_winners_are_those_of_matrix_products(interpreted):
    assert interpreted[-1]["equal"] == 1.0
    assert interpreted[-1]["apart"] == 0.0


def compiled_for(capability, dims, taken, kept):
    """The kernel compiled for a compute capability such as 80, which needs no card."""
    constants = {
        "dims": dims, "queries_tile": QUERIES, "rows_tile": TILE_ROWS, "dims_tile": DIMS,
        "taken": taken, "kept": kept,
    }  # fmt: skip
    signature = {
        "queries": "*fp16", "rows": "*fp16", "norms": "*fp32", "kept_values": "*fp32", "kept_rows": "*i32",
        "count": "i32", "tiles": "i32", "tiles_each": "i32", **dict.fromkeys(constants, "constexpr"),
    }  # fmt: skip
    values = {(list(signature).index(name),): value for name, value in constants.items()}
    # Torch's memory begins at multiples of 16 bytes, which a launch would find out.
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(5)}
    source = ASTSource(nearest_rows, signature, constexprs=values, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS)


@pytest.mark.parametrize(("capability", "instruction"), [(80, "mma.sync"), (90, "wgmma.mma_async")])
def test_it_compiles_for_tensor_cores_within_a_multiprocessor_s_memory(capability, instruction):
    compiled = compiled_for(capability, dims=160, taken=1, kept=4)
    assert instruction in compiled.asm["ptx"]
    assert compiled.metadata.shared <= 99 << 10  # of the smallest card that is supported


class Nearest:
    """Proposals that are right, but for what a test makes of them."""

    kind, recordable, most_neighbours = "nearest", True, 4

    def __init__(self, spoilt):
        self._spoilt = spoilt

    def propose(self, queries, neighbours, candidates):
        distances = NORMS - 2.0 * queries.float() @ ROWS.float().T
        return self._spoilt(distances.topk(candidates, dim=1, largest=False)[1], neighbours)


ROWS = torch.randn(1000, 40, generator=torch.Generator().manual_seed(1)).half()
NORMS = ROWS.float().square().sum(dim=1)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda found, _: found, None),
        (lambda found, _: found.flip(1), None),  # they are measured again: their order says nothing
        (lambda found, _: found.clamp(max=127), "wrong_rows"),  # as if there were the first tile alone
        (lambda found, _: found.clamp(min=128), "wrong_rows"),
        (lambda found, neighbours: found[:, : neighbours - 1].repeat(1, 3), "wrong_rows"),
        (lambda found, _: found[:, :1].expand(-1, 6), "wrong_rows"),
    ],
)
def test_a_trial_sees_the_whole_bank_and_every_neighbour(spoilt, reason):
    found = refusal(Nearest(spoilt), ROWS, NORMS, 3)
    assert (found and found.reason) == reason


def test_a_kernel_that_fails_is_not_used_and_a_full_device_is_told():
    def fails(_found, _neighbours):
        raise RuntimeError("no kernel image")

    def is_full(_found, _neighbours):
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    found = refusal(Nearest(fails), ROWS, NORMS, 1)
    assert (found.reason, found.detail) == ("not_compiled", "RuntimeError: no kernel image")
    with pytest.raises(torch.OutOfMemoryError):
        refusal(Nearest(is_full), ROWS, NORMS, 1)


def test_a_triton_that_cannot_be_imported_is_a_reason(tmp_path):
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton/__init__.py").write_text("raise ImportError('libdrm is missing')\n")
    code = (
        "from inspectd.backends.cuda import search; "
        "r = search.fused_maker(); print(r.reason, r.detail, sep='|')"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "no_triton|triton cannot be imported: libdrm is missing\n"


def test_off_a_card_products_serve_and_the_log_says_why(caplog):
    bank = torch.randn(20, 8)
    with caplog.at_level(logging.INFO):
        assert HalfSearch(bank).kind == "exact-float16"
    (record,) = caplog.records
    assert record.getMessage() == "fused_search_unavailable"
    assert record.fields == {"reason": "not_on_cuda", "detail": "device cpu"}
    with pytest.raises(InputError, match="'exact-fused' cannot run on cpu: not_on_cuda"):
        HalfSearch(bank, "exact-fused")


@pytest.mark.gpu
@pytest.mark.parametrize("neighbours", [1, 4, 9])
@pytest.mark.parametrize(("rows", "queries"), [(3, 5), (500, 1), (20_000, 3000)])
def test_on_a_card_it_finds_what_the_exact_search_finds(rows, queries, neighbours):
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(rows, 152, generator=generator).cuda() + 3
    points = torch.randn(queries, 152, generator=generator).cuda() + 3
    search = HalfSearch(bank, "exact-fused")
    neighbours = min(neighbours, rows)
    distances, found = search.search(points, neighbours)
    expected, best = ExactSearch(bank).search(points, neighbours)
    assert (found == best).float().mean() > 0.99
    torch.testing.assert_close(distances, expected, rtol=0.01, atol=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize("neighbours", [1, 3, 9])
@pytest.mark.parametrize("count", [2, 1000, 20_000])
def test_on_a_card_it_is_chosen_after_a_trial(count, neighbours):
    rows = torch.randn(count, 40, device="cuda").half()
    assert isinstance(fused_proposals(rows, rows.float().square().sum(dim=1), neighbours), FusedProposals)
    assert HalfSearch(rows.float(), neighbours=neighbours).kind == "exact-fused"
