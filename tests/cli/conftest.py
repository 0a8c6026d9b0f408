"""How tests give commands."""

from __future__ import annotations

import logging
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from inspectd import cli


@pytest.fixture
def inspectd(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CompletedProcess[str]]:
    """Gives a command in this process, which has imported already what takes a new one seconds.

    What the command raises, the test raises.
    """

    def run(*words: object) -> CompletedProcess[str]:
        capsys.readouterr()
        given = [*map(str, words)]
        with monkeypatch.context() as alone:
            alone.setattr(logging.getLogger(), "handlers", [])  # pytest's; without one, warnings are printed
            try:
                code = cli.main(given)
            except SystemExit as end:  # argparse
                code = end.code if isinstance(end.code, int) else 1
        return CompletedProcess(given, code, *capsys.readouterr())

    return run
