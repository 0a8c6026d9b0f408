"""Finds pictures that look like several of one part, by the embeddings that a build makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from inspectd.model.head import GRID, distances_at_once

FEWEST_TO_LOOK_AT: Final = 20
"""Pictures from which on it can be told that some are more alike than parts are."""
MOST_ALIKE: Final = 0.3
"""Share of the pictures that may show no further part before no rate is shown by them. Of solar cells, all of
different parts, 0.3 was the most, in samples of 20."""
_LIMIT: Final = 0.75
"""Of a picture's distance to another, as a share of that to its tenth nearest: below it they are alike."""
_NEAREST: Final = 10
_OF_EACH: Final = 4
"""Of few pictures the tenth nearest is any: of so many, one in this many stands for it."""
_MOST_AT_ONCE: Final = 1000
"""Pictures that are compared, each with each: a few seconds."""
_SMALLEST: Final = 1e-6


def alike(embeddings: torch.Tensor) -> list[list[int]]:
    """Groups of pictures that look like several of one part each, by their numbers, ascending.

    The unusual of a part, such as its grain or a scratch, is in each picture of it at the same place. So what
    all pictures have in common is taken out at each place, and what each has at all places, which is its
    light. Two are alike where each is much nearer to the other than to its tenth nearest, over all places.

    Args:
        embeddings: (N, L) float32, `image_embedding` of the pictures, in their order: of very many, those
            that lie far from each other are not compared.
    """
    groups, first = [], 0
    for block in torch.split(embeddings, _MOST_AT_ONCE):
        if len(block) >= FEWEST_TO_LOOK_AT:
            groups += [[first + row for row in group] for group in _groups(len(block), _pairs(block))]
        first += len(block)
    return groups


def _pairs(embeddings: torch.Tensor) -> list[tuple[int, int]]:
    """Numbers of two pictures each that are alike."""
    count = len(embeddings)
    places = embeddings.view(count, -1, GRID**2)
    unusual = places - places.mean(dim=2, keepdim=True)
    unusual = unusual - unusual.mean(dim=0)
    unusual = (unusual / unusual.std(dim=0).clamp_min(_SMALLEST)).permute(2, 0, 1).contiguous()
    nearest = min(_NEAREST, count // _OF_EACH)
    distances = embeddings.new_zeros((count, count))
    usual = embeddings.new_zeros(count)
    for place in unusual:
        squares = distances_at_once(place, place).square().fill_diagonal_(torch.inf)
        distances += squares
        usual += squares.kthvalue(nearest, dim=1).values
    is_near = distances < _LIMIT**2 * usual[:, None]
    return [(one, other) for one, other in (is_near & is_near.T).nonzero().tolist() if one < other]


def _groups(count: int, links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """What is linked with each other, of so many, in order; what is not linked is left out."""
    group_of = {row: [row] for row in range(count)}
    for one, other in links:
        if group_of[one] is not group_of[other]:
            joined = group_of[one] + group_of[other]
            group_of |= dict.fromkeys(joined, joined)
    unique = {id(group): sorted(group) for group in group_of.values() if len(group) > 1}
    return sorted(unique.values())
