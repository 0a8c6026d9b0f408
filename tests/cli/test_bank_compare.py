"""`inspectd bank compare` finds what is wrong with any of its banks before the first one takes minutes."""

from pathlib import Path

import pytest

from inspectd import cli
from inspectd.cli.bank_compare import _labels


def test_a_bank_that_cannot_be_read_is_told_before_any_is_evaluated(
    bank_file: Path, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bank", "compare", bank_file, tmp_path / "gone.bank", "--data", mixed_folder]
    assert cli.main([str(word) for word in words]) != 0
    told = capsys.readouterr().err
    assert "gone.bank: cannot be read: No such file" in told
    assert "40/40" not in told  # images of the bank before it


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["state/a.bank", "b.bank"], ["a.bank", "b.bank"]),
        (["a/x.bank", "b/x.bank"], ["a", "b"]),
        (["s/recipes/tiles/1/banks/top.bank", "s/recipes/tiles/2/banks/top.bank"], ["tiles/1", "tiles/2"]),
        (["s/a/x.bank", "s/a/b/x.bank"], ["a/x.bank", "a/b/x.bank"]),
        (["a/x.bank", "a/y.bank", "b/x.bank"], ["a/x.bank", "a/y.bank", "b/x.bank"]),
        (["/a/x.bank", "a/x.bank"], ["/a", "a"]),
    ],
)
def test_banks_of_one_name_are_told_by_what_their_paths_differ_in(
    paths: list[str], labels: list[str]
) -> None:
    assert _labels([Path(path) for path in paths]) == labels
