"""Search on a CUDA device: products in half precision, the winners measured again in float32."""

from __future__ import annotations

from typing import Final

import torch

_BLOCK_BYTES: Final = 256 << 20
"""Of distances at a time: large enough to fill a card, small beside its memory."""
_SPARE: Final = 3


class HalfSearch:
    """As `ExactSearch`, with the bank in half precision around its mean and its norms kept ready.

    Every step has a fixed shape and none waits for the device, so that it can be part of a CUDA graph.

    Args:
        bank: (M, D) float32; the search happens on its device.
    """

    def __init__(self, bank: torch.Tensor) -> None:
        self._bank = bank
        self._mean = bank.mean(dim=0)
        centred = bank - self._mean
        # Half precision ends at 65504: distances must stay below it, whatever the features' scale.
        self._scale = 8.0 / centred.norm(dim=1).max().clamp_min(1e-6)
        scaled = centred * self._scale
        self._columns = scaled.half().T.contiguous()
        self._norms = scaled.square().sum(dim=1).half()
        self._block = max(64, _BLOCK_BYTES // (2 * max(1, bank.shape[0])))

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`."""
        found = []
        for block in queries.split(self._block):  # type: ignore[no-untyped-call]
            scaled = ((block.float() - self._mean) * self._scale).clamp(-200.0, 200.0).half()
            partial = torch.addmm(self._norms, scaled, self._columns, alpha=-2.0)
            count = min(neighbours + _SPARE, self._bank.shape[0])
            found.append(
                self._measured(block.float(), partial.topk(count, dim=1, largest=False)[1], neighbours)
            )
        return torch.cat([distances for distances, _ in found]), torch.cat([rows for _, rows in found])

    def _measured(
        self, queries: torch.Tensor, candidates: torch.Tensor, neighbours: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        offsets = queries[:, None, :] - self._bank[candidates]
        squared, order = offsets.square().sum(dim=2).topk(neighbours, dim=1, largest=False)
        return squared.sqrt(), candidates.gather(1, order)
