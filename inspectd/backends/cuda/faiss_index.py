"""Brute-force search by faiss on a CUDA device, on torch's tensors and torch's stream."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, ClassVar, Final

import torch

from inspectd.errors import InputError

_SCRATCH_BYTES: Final = 256 << 20
"""faiss keeps this much of the device for itself; left to itself it takes 1.5 GB of a large card."""


class FlatProposals:
    """Proposes a few rows for each query; see `backends.cuda.search.Proposals`.

    It looks for the largest q.c - ||c||^2 / 2, whose last term is two dimensions more: one loses too much.

    Args:
        rows: (M, D) float16 on a CUDA device.
        norms: (M,) float32, as for `proposals.ProductProposals`.

    Raises:
        InputError: faiss, or the part of it that computes on this device, is not there.
    """

    kind: ClassVar[str] = "flat"
    recordable: ClassVar[bool] = False  # it takes scratch memory and sets streams while it searches
    most_neighbours: ClassVar[int] = 1024

    def __init__(self, rows: torch.Tensor, norms: torch.Tensor) -> None:
        self._faiss = _with_gpu(rows.device)
        half = -0.5 * norms[:, None]
        self._rows = torch.cat([rows, half.half(), (half - half.half()).half()], dim=1)
        self._resources = _resources()

    def propose(self, queries: torch.Tensor, candidates: int) -> torch.Tensor:
        """See `backends.cuda.search.Proposals.propose`."""
        queries = torch.cat([queries, queries.new_ones((len(queries), 2))], dim=1)
        with torch.cuda.device(self._rows.device):
            _, found = self._faiss.knn_gpu(
                self._resources, queries, self._rows, candidates,
                metric=self._faiss.METRIC_INNER_PRODUCT, device=self._rows.device.index,
            )  # fmt: skip
        # Where it finds nothing it returns -1, which is no row.
        rows: torch.Tensor = found.clamp_(min=0)
        return rows


def _with_gpu(device: torch.device) -> Any:
    """The package faiss, taking torch's tensors, after a check that it computes on `device`."""
    faiss = _imported("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise InputError(
            f"search 'flat' on {device}: the package faiss that is installed has no GPU part; install "
            "faiss-gpu, or use exact"
        )
    count = faiss.get_num_gpus()
    if device.type != "cuda" or (device.index or 0) >= count:
        raise InputError(f"search 'flat' on {device}: faiss sees {count} CUDA devices; use exact")
    _imported("faiss.contrib.torch_utils")  # it teaches faiss torch's tensors and streams
    return faiss


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)  # large, and missing on some machines
    except (ImportError, RuntimeError, OSError) as error:  # a library it brings or looks for may not load
        raise InputError(f"search 'flat' needs the package faiss, which cannot be loaded: {error}") from error


@cache
def _resources() -> Any:
    """Scratch memory and libraries of faiss, shared by all banks: searches come one after another."""
    import faiss  # noqa: PLC0415 - as above

    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_SCRATCH_BYTES)
    resources.setPinnedMemory(0)  # of the host: 256 MB by default, and nothing is copied to it
    return resources
