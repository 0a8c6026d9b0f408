import subprocess
import sys
from typing import Any

import pytest

from inspectd.errors import InputError
from inspectd.model.options import PatchCoreOptions, PatchOptions, converted, options_of


def test_what_is_left_out_has_its_default() -> None:
    assert options_of("patchcore", {"neighbours": 3}) == PatchCoreOptions(neighbours=3)
    values = {"neighbours": 64, "position_weight": 1, "reweight": True}
    assert options_of("patchcore", values) == PatchCoreOptions(
        neighbours=64, position_weight=1.0, reweight=True
    )


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("patchcor", {}, "unknown detector 'patchcor', expected one of: patchcore, padim, dfkde"),
        ("patchcore", {"neighbours": 0}, "neighbours is 0, expected a whole number from 1 to 64"),
        ("patchcore", {"neighbours": True}, "neighbours is True, expected a whole number"),
        ("patchcore", {"neighbours": 1.5}, "neighbours is 1.5, expected a whole number"),
        ("patchcore", {"position_weight": float("nan")}, "position_weight is nan, expected a number from 0"),
        ("patchcore", {"reweight": "yes"}, "reweight is 'yes', expected true or false"),
        ("patchcore", {"neighbour": 1}, "there is no 'neighbour', expected one of: neighbours, local_scale"),
        ("padim", {"neighbours": 1}, "'padim': there is no 'neighbours', expected one of: dimensions, "),
        ("padim", {"regularisation": 0}, "regularisation is 0, expected a number above 0 up to 1000"),
        ("dfkde", {"bandwidth": "wide"}, "bandwidth is 'wide', expected one of: cross-validation, scott"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(
    kind: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        options_of(kind, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dimensions": 0}, "it: dimensions is 0, expected a whole number from 1 to 65536"),
        ({"dimensions": "all"}, "dimensions is 'all', expected a whole number"),
        (
            {"region": [0, 0, 1, 2]},
            r"region is \[0, 0, 1, 2\], expected 4 values, each a number from 0 up to",
        ),
        ({"region": [0, 0, 1]}, r"region is \[0, 0, 1\], expected 4 values"),
        ({"grid": 3}, "grid is 3, expected one of: coarse, fine"),
    ],
)
def test_a_value_that_may_be_missing_and_a_list_are_named_too(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        converted(values, PatchOptions, "it")


def test_options_are_read_without_torch() -> None:
    code = "import sys, inspectd.bank.file; assert not {'torch', 'cv2', 'faiss'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
