"""Faiss on a card: what is said where it cannot be had, and its answers where it can."""

import sys
import types

import pytest
import torch

from inspectd.backends.cuda.faiss_index import FlatProposals
from inspectd.backends.cuda.search import HalfSearch, refuse_on_cuda
from inspectd.errors import InputError
from inspectd.model.search import ExactSearch

BANK = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))


def test_a_machine_without_faiss_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match="'flat' needs the package faiss, which cannot be loaded"):
        HalfSearch(BANK, "flat")


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_a_faiss_that_does_not_load_says_so(monkeypatch, error):
    class Finder:
        def find_spec(self, name, _path=None, _target=None):
            if name == "faiss":
                raise error("nvidia-cublas-cu12 is missing")

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(InputError, match="cannot be loaded: nvidia-cublas-cu12 is missing"):
        HalfSearch(BANK, "flat")


def test_faiss_without_its_gpu_part_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", types.ModuleType("faiss"))
    with pytest.raises(InputError, match=r"has no GPU part; install faiss-gpu"):
        HalfSearch(BANK, "flat")


def test_a_device_faiss_does_not_see_is_refused(monkeypatch):
    there = types.ModuleType("faiss")
    there.StandardGpuResources, there.get_num_gpus = object, lambda: 0
    monkeypatch.setitem(sys.modules, "faiss", there)
    with pytest.raises(InputError, match="'flat' on cpu: faiss sees 0 CUDA devices"):
        FlatProposals(BANK.half(), BANK.square().sum(dim=1))


def test_the_reference_has_no_faiss():
    with pytest.raises(InputError, match="'flat' with backend torch"):
        refuse_on_cuda("flat", "torch")
    for kind, backend in (("auto", "torch"), ("exact", "auto"), ("flat", "auto")):
        refuse_on_cuda(kind, backend)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="search 'lsh': unknown on CUDA; expected auto, exact"):
        HalfSearch(BANK, "lsh")


@pytest.mark.gpu
@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("spacing", [None, torch.rand(3000) + 0.5], ids=["plain", "relative"])
def test_on_a_card_it_finds_what_the_exact_search_finds(neighbours, spacing):
    bank, points = torch.randn(3000, 40).cuda() + 3, torch.randn(500, 40).cuda() + 3
    spacing = None if spacing is None else spacing.cuda()
    search = HalfSearch(bank, "flat", spacing=spacing)
    assert (search.kind, search.recordable) == ("flat", False)
    distances, rows = search.search(points, neighbours)
    expected, best = ExactSearch(bank, spacing).search(points, neighbours)
    assert (rows == best).float().mean() > 0.99
    torch.testing.assert_close(distances, expected, rtol=0.01, atol=0.01)


@pytest.mark.gpu
def test_a_query_that_is_no_number_gets_a_row_all_the_same():
    points = torch.full((4, 8), torch.nan).cuda()
    _, rows = HalfSearch(BANK.cuda(), "flat").search(points, 1)
    assert rows.min() >= 0
    assert rows.max() < len(BANK)
