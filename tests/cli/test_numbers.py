"""Numbers that people give as options."""

from __future__ import annotations

import argparse

import pytest

from inspectd.cli.numbers import share


@pytest.mark.parametrize(("text", "expected"), [("0.02", 0.02), ("2%", 0.02), ("0.5%", 0.005), ("1", 1.0)])
def test_a_share_may_be_given_in_percent_as_it_is_printed(text, expected):
    assert share(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "%", "two", "2 percent", "0,02"])
def test_what_is_no_share_is_told_with_what_one_is(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a share such as 0\.02, or 2%"):
        share(text)


def test_the_rate_of_false_rejects_is_a_share(inspectd):
    done = inspectd("bank", "calibrate", "none.bank", "--false-reject-rate", "2%")
    assert "none.bank: cannot be read" in done.stderr
