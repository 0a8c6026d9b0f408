import subprocess
import sys

import pytest

from inspectd.errors import InputError
from inspectd.model.options import PatchCoreOptions, options_of


def test_what_is_left_out_has_its_default() -> None:
    assert options_of("patchcore", {"neighbours": 3}) == PatchCoreOptions(neighbours=3)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("patchcor", {}, "unknown detector 'patchcor', expected one of: patchcore, padim, dfkde"),
        ("patchcore", {"neighbours": 0}, "neighbours"),
        ("padim", {"neighbours": 1}, "neighbours"),
        ("dfkde", {"bandwidth": "wide"}, "wide"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options_of(kind, values)


def test_options_are_read_without_torch() -> None:
    code = "import sys, inspectd.bank.file; assert not {'torch', 'cv2', 'faiss'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
