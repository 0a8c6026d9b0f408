"""Pieces of pages."""

import numpy as np
import pytest

from inspectd.evaluation.page import table, tiled


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(1, (10, 10), (10, 10)), (2, (10, 10), (10, 20)), (10, (10, 10), (20, 50)), (10, (10, 100), (50, 200)),
     (10, (100, 10), (100, 100)), (7, (10, 10), (20, 40))],
)  # fmt: skip
def test_pictures_are_laid_in_rows(count, size, expected) -> None:
    pictures = [np.full((*size, 3), at + 1, np.uint8) for at in range(count)]
    laid = tiled(pictures)
    assert laid.shape == (*expected, 3)
    seen = laid[:: size[0], :: size[1], 0].ravel()
    assert list(seen) == [*range(1, count + 1), *[0] * (len(seen) - count)]


def test_names_in_a_table_are_broken_where_they_have_parts() -> None:
    assert "<td>a_<wbr>b&lt;</td>" in "".join(table(("",), [("a_b<",)]))
