"""Prints the thresholds to choose from for a bank; shared by the commands that show them."""

from __future__ import annotations

from typing import Final

from inspectd.cli.bank_common import print_table
from inspectd.evaluation.budgets import (
    FOUND_MEANS,
    UNLIKE_HEADINGS,
    Choice,
    table_of,
    unlike_cells,
)

_MOST_UNLIKE: Final = 10


def print_choice(choice: Choice) -> None:
    """Print the thresholds to choose from, and what each image unlike the rest does to the threshold."""
    print(f"thresholds by budget of false rejects, of {choice.good_images} good images that count:")
    headings, *rows = table_of(choice.budgets, choice.good_images)
    print_table(headings, rows)
    if any(row.synthetic_found is not None for row in choice.budgets):
        print(FOUND_MEANS)
    unlike = sorted(choice.unlike_the_rest, key=lambda image: -image.score)
    if not unlike:
        return
    print(f"images unlike the rest, and the default threshold with and without each ({len(unlike)}):")
    print_table(UNLIKE_HEADINGS, map(unlike_cells, unlike[:_MOST_UNLIKE]))
    if len(unlike) > _MOST_UNLIKE:
        print(f"and {len(unlike) - _MOST_UNLIKE} more (--json lists all)")
