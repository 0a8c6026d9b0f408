"""Run by test_triton_kernel.py with TRITON_INTERPRET=1: the kernel on the CPU, its findings as JSON."""

import json

import torch

from inspectd.backends.cuda.search import HalfSearch
from inspectd.backends.cuda.triton_kernel import FusedProposals, misses

CASES = [(1, 7, 3, 1), (5, 7, 3, 2), (130, 40, 140, 1), (700, 40, 30, 1), (700, 40, 30, 4)]
"""Rows, dimensions, queries and neighbours: fewer and more than a tile, few tiles and many."""

generator = torch.Generator().manual_seed(0)
found = []
for rows, dims, queries, neighbours in CASES:
    bank = torch.randn(rows, dims, generator=generator).half()
    points = torch.randn(queries, dims, generator=generator).half()
    points[0] = 200  # as far away as queries are moved
    norms = bank.float().square().sum(dim=1)
    distances = norms - 2.0 * points.float() @ bank.float().T
    candidates = min(neighbours + 3, rows)
    made = FusedProposals(bank, norms)
    proposed = made.propose(points, neighbours, candidates)
    best = distances.topk(neighbours, dim=1, largest=False)[1]
    kept = [set(want.tolist()) <= set(got.tolist()) for want, got in zip(best, proposed, strict=True)]
    found.append(
        {
            "shape": list(proposed.shape),
            "wanted": [queries, candidates],
            "rows": rows,
            "kept": sum(kept) / len(kept),
            "doubles": sum(len(set(got.tolist())) < candidates for got in proposed),
            "outside": int(((proposed < 0) | (proposed >= rows)).sum()),
            "misses": misses(made, bank, norms, neighbours),
            "misses_of_another_bank": misses(made, bank.flip(0), norms.flip(0), neighbours),
        }
    )

bank = torch.randn(300, 24, generator=generator) * 50 + 7
search = HalfSearch(bank, "exact-float16")
near = bank[:40] + torch.randn(40, 24, generator=generator)
points = torch.cat([near, bank[:1] + 1e6, bank[:1] * torch.nan])
expected, rows = search.search(points, 1)
search._proposals = [FusedProposals(search._proposals[0]._columns.T, search._proposals[0]._norms.float())]
distances, others = search.search(points, 1)
found.append(
    {
        "equal": (rows == others).float().mean().item(),
        "apart": (distances - expected)[:-1].abs().max().item(),
        "no_number": bool(distances[-1].isnan().all()) and 0 <= int(others[-1]) < 300,
    }
)
print(json.dumps(found))
