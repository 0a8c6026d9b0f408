"""What an agent says of the commands that it hands archives to the line's store by."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from inspectd.errors import UnavailableError
from inspectd.fleet.agent.store_side import LineStore


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill -KILL $$", "`inspectd recipe list` was killed (SIGKILL), as a rule because memory ran out"),
        ("kill -TERM $$", "`inspectd recipe list` was ended by SIGTERM: it was slow"),
        ("kill -40 $$", "`inspectd recipe list` was ended by signal 40: it was slow"),
        ("exit 5", "`inspectd recipe list` ended with 5: it was slow"),
    ],
)
def test_a_command_that_was_ended_says_by_what(
    how: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho it was slow >&2\n{how}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(UnavailableError) as ended:
        asyncio.run(LineStore(tmp_path / "line1.toml").count())
    assert str(ended.value).startswith(words)
    assert ("MemoryMax" in str(ended.value)) == ("KILL" in how)
