"""Operations are counted as they are known to be; shares follow from them."""

from types import SimpleNamespace

import numpy as np
import pytest

from inspectd.backends.cuda.arithmetic import arithmetic, flop_of_image, nominal_rate
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline
from inspectd.model.options import PatchCoreOptions


def flop(rows):
    spec = Synthetic(
        backbone="resnet18", weights="random", height=64, width=64, rows=rows, dims=32,
        options=PatchCoreOptions(position_weight=0.0),
    )  # fmt: skip
    return flop_of_image(synthetic_pipeline(spec, "cpu"), np.zeros((64, 64, 3), np.uint8))


def test_a_bank_s_rows_cost_two_operations_for_each_query_and_dimension():
    assert (
        flop(512) - flop(256) == 2 * 256 * (32 + 1) * 16
    )  # rows, dimensions and the squared length, patches


def test_the_limit_of_a_known_card_is_its_data_sheet_s():
    card = SimpleNamespace(major=9, minor=0, multi_processor_count=132, clock_rate=1_830_000)
    assert nominal_rate(card) == pytest.approx(989e12, rel=0.01)


def test_an_unknown_card_has_no_nominal_limit():
    assert nominal_rate(SimpleNamespace(major=99, minor=0, multi_processor_count=1, clock_rate=1)) is None
    assert nominal_rate(SimpleNamespace(major=9, minor=0, multi_processor_count=132)) is None


@pytest.mark.gpu
def test_a_card_s_products_stay_below_its_limit():
    found = arithmetic(1e9, {"1": 100.0}, "cuda:0")
    assert 0 < found["product_tflops"] <= found["limit_tflops"]
    assert found["share"]["1"] == pytest.approx(0.1 / found["limit_tflops"], abs=1e-4)
