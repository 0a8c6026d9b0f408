"""Search by tiles: arithmetic by Triton's interpreter, compilation for cards, and what a card answers."""

import logging
import re
import subprocess
from pathlib import Path

import pytest
import torch
import triton
from support.interpreted import interpreted
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inspectd.backends.cuda.search import HalfSearch, wrong_rows
from inspectd.backends.cuda.tile_search import (
    _OPTIONS,
    PRECISIONS,
    TileSearch,
    measure_again,
    prepare,
    tile_for,
    tile_minima,
)
from inspectd.errors import InputError
from inspectd.model.search import ExactSearch


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return interpreted(Path(__file__).with_name("kernel_on_cpu.py"), tmp_path_factory)


@pytest.mark.parametrize(("kind", "farthest"), [("exact-fused", 1.0001), ("exact-float8", 1.05)])
def test_the_nearest_are_found_and_their_distances_measured(found, kind, farthest):
    for case in found[kind]["cases"]:
        assert case["shape"] == [case["wanted"]] * 2
        assert case["farthest"] < farthest
        assert case["off"] < 1e-6
        assert case["twice"] == 0


@pytest.mark.parametrize("kind", PRECISIONS)
def test_unusual_queries_and_equal_rows(found, kind):
    found = found[kind]["unusual"]
    assert found["equal"] == [[7, 100, 200], [0.0, 0.0, 0.0]]
    assert found["no_number"]
    assert found["infinite"] == [[float("inf")] * 3] * 2
    assert found["far"] == [False, True]  # the square of 1e30 is more than float32 holds
    assert found["least_far"] > 1e6
    assert found["outside"] == 0


@pytest.mark.parametrize("kind", PRECISIONS)
def test_the_answer_does_not_depend_on_how_the_work_is_divided(found, kind):
    divided = found[kind]["divided"]
    assert set(divided) == {"one program", "minima in turn", "queries in turn"}
    assert all(divided.values())


def test_a_trial_finds_out_whether_the_answers_are_right(found):
    right, wrong = found["tried"]
    assert right is None
    assert wrong.endswith("nearest rows missed")


POINTERS = {
    prepare: ["*fp32", "*fp32", "low", "*fp32"],
    tile_minima: ["low", "*fp32", "low", "*fp32", "*fp32", "*fp32"],
    measure_again: ["*fp32", "*fp32", "*fp32", "*fp32", "*fp32", "*i64"],
}
NUMBERS = {prepare: ["i32", "fp32", "fp32"], tile_minima: ["i32"] * 5, measure_again: ["i32"] * 3}


def compiled_for(kernel, capability, kind, constants, options):
    """A kernel compiled for a compute capability such as 80, which needs no card; its registers and stack."""
    low = {"exact-float8": "*fp8e4nv", "exact-fused": "*fp16"}[kind]
    types = [low if pointer == "low" else pointer for pointer in POINTERS[kernel]] + NUMBERS[kernel]
    names = [one.name for one in kernel.params]
    signature = dict(zip(names, types, strict=False)) | dict.fromkeys(constants, "constexpr")
    values = {(names.index(name),): value for name, value in constants.items()}
    # Torch's memory begins at multiples of 16 bytes, which a launch would find out.
    aligned = {
        (names.index(name),): [["tt.divisibility", 16]]
        for name, of in signature.items()
        if of.startswith("*") or (name == "dims" and of == "i32")
    }
    source = ASTSource(kernel, signature, constexprs=values, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def usage(compiled, folder):
    """Registers of a thread and bytes that did not fit in them."""
    (folder / "kernel.cubin").write_bytes(compiled.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    done = subprocess.run(
        [tool, "-res-usage", folder / "kernel.cubin"], capture_output=True, text=True, check=True
    )
    found = re.search(r"REG:(\d+) STACK:(\d+)", done.stdout)
    return int(found[1]), int(found[2])


@pytest.mark.parametrize(
    ("capability", "kind", "relative", "spilt"),
    [
        (80, "exact-fused", True, 0),
        (89, "exact-float8", True, 0),
        (90, "exact-fused", False, 0),
        # Once in a tile of rows, around its minima and not between its products.
        (90, "exact-float8", True, 160),
        (120, "exact-float8", True, 0),
    ],
)
def test_minima_compile_for_tensor_cores_within_a_multiprocessor_s_memory(
    tmp_path, capability, kind, relative, spilt
):
    shared_bytes = {80: 163 << 10, 90: 227 << 10}.get(capability, 99 << 10)
    tile = tile_for(PRECISIONS[kind].dtype, 1024, shared_bytes)
    constants = {
        "queries_tile": tile.queries, "rows_tile": tile.rows, "dims_tile": tile.dims, "group": 16,
        "taken": 1 + PRECISIONS[kind].spare, "relative": relative,
    }  # fmt: skip
    compiled = compiled_for(tile_minima, capability, kind, constants, tile.options)
    assert {90: "wgmma.mma_async"}.get(capability, "mma.sync") in compiled.asm["ptx"]
    assert compiled.metadata.shared <= shared_bytes
    assert usage(compiled, tmp_path)[1] <= spilt


def test_preparing_and_measuring_leave_room_for_many_programs(tmp_path):
    constants = {"dims": 1024, "filled": 1024, "queries_tile": 2, "width": 1024}
    compiled = compiled_for(prepare, 90, "exact-float8", constants, {"num_warps": 4, **_OPTIONS})
    registers, stack = usage(compiled, tmp_path)
    assert (registers <= 64, stack) == (True, 0)
    assert "ld.global.v4" in compiled.asm["ptx"]
    constants = {
        "dims": 1024, "queries_tile": 2, "rows_tile": 256, "dims_tile": 128, "chunk": 256, "at_once": False,
        "taken": 2, "kept": 4, "neighbours": 1, "relative": True,
    }  # fmt: skip
    compiled = compiled_for(measure_again, 90, "exact-float8", constants, {"num_warps": 1, **_OPTIONS})
    registers, stack = usage(compiled, tmp_path)
    assert (registers <= 128, stack) == (True, 0)
    assert "ld.global.v4" in compiled.asm["ptx"]


@pytest.mark.parametrize("kernel", [prepare, tile_minima, measure_again])
def test_a_bank_brings_one_binary_whatever_its_rows_and_the_batch(kernel):
    of = dict(zip(kernel.params, POINTERS[kernel] + NUMBERS[kernel], strict=False))
    specialised = [one.name for one in of if of[one] == "i32" and not one.do_not_specialize]
    assert specialised in ([], ["dims"])  # which a tile divides in any case


class Nearest:
    """A search that is right, but for what a test makes of it."""

    def __init__(self, spoilt):
        self._spoilt = spoilt

    def programs_for(self, count, rounds):
        return count // rounds

    def search(self, queries, neighbours, most_programs):
        rows = torch.cdist(queries, ROWS).topk(neighbours, dim=1, largest=False)[1]
        rows = self._spoilt(rows)
        return (queries[:, None] - ROWS[rows]).norm(dim=2), rows


ROWS = torch.randn(1000, 40, generator=torch.Generator().manual_seed(1))


def once_in(every):
    """Rows (Q, k) of which one in so many queries has others."""
    return lambda rows: torch.where(torch.arange(len(rows))[:, None] % every == 0, (rows + 400) % 1000, rows)


@pytest.mark.parametrize(
    ("spoilt", "wrong"),
    [
        (lambda rows: rows, None),
        (once_in(2000), None),
        (once_in(400), "6 of 2100 nearest rows missed"),
        (lambda rows: torch.where(rows < 872, rows, 1 + torch.arange(3)), "nearest rows missed"),  # a tile
        (lambda rows: rows[:, :1].expand(-1, 3), "a row named twice"),
        (lambda rows: rows.flip(1), "nearest rows missed"),  # the nearest comes first
    ],
)
def test_a_trial_sees_the_whole_bank_and_every_neighbour(spoilt, wrong):
    found = wrong_rows(Nearest(spoilt), ROWS, 3, None)
    assert (found is None) == (wrong is None)
    assert (wrong or "") in (found or "")


def test_a_trial_does_not_believe_distances():
    class Boastful(Nearest):
        def search(self, queries, neighbours, most_programs):
            distances, rows = super().search(queries, neighbours, most_programs)
            return 0.98 * distances, rows

    assert "not those" in wrong_rows(Boastful(lambda rows: rows), ROWS, 1, None)


def test_off_a_card_products_serve_and_the_log_says_why(caplog):
    bank = torch.randn(20, 8)
    with caplog.at_level(logging.INFO):
        assert HalfSearch(bank).kind == "exact-float16"
    assert {record.getMessage() for record in caplog.records} == {"kernel_unavailable"}
    assert [record.fields for record in caplog.records] == [
        {"kernel": kind, "reason": "not_on_cuda", "detail": "device cpu"} for kind in PRECISIONS
    ]
    with pytest.raises(InputError, match="'exact-fused' cannot run on cpu: not_on_cuda"):
        HalfSearch(bank, "exact-fused")


def kinds_here():
    return list(PRECISIONS) if torch.cuda.get_device_capability() >= (8, 9) else ["exact-fused"]


@pytest.mark.gpu
@pytest.mark.parametrize(("rows", "queries", "neighbours"), [(500, 1, 4), (20_000, 3000, 1)])
def test_on_a_card_it_finds_what_the_exact_search_finds(rows, queries, neighbours):
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(rows, 152, generator=generator).cuda() + 3
    points = torch.randn(queries, 152, generator=generator).cuda() + 3
    spacing = 0.5 + torch.rand(rows, generator=generator).cuda()
    expected, _ = ExactSearch(bank, spacing).search(points, neighbours)
    for kind in kinds_here():
        search = HalfSearch(bank, kind, neighbours, spacing)
        distances, found = search.search(points, neighbours)
        own = (points[:, None] - bank[found]).norm(dim=2) / spacing[found]
        torch.testing.assert_close(distances, own, rtol=1e-5, atol=1e-5)
        assert (distances < 1.01 * expected).float().mean() > 0.999
        assert (distances > 0.999 * expected).all()


@pytest.mark.gpu
def test_on_a_card_it_is_chosen_and_recorded():
    bank = torch.randn(5000, 152, device="cuda")
    search = HalfSearch(bank)
    assert search.kind == kinds_here()[0]
    points = torch.randn(1000, 152, device="cuda")
    search.search(points, 1)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        distances, rows = search.search(points, 1)
    points.copy_(torch.randn_like(points))
    graph.replay()
    expected, best = search.search(points, 1)
    assert torch.equal(distances, expected)
    assert torch.equal(rows, best)
    assert TileSearch.recordable
