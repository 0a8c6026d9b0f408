"""The commands: what they print, and that what is wrong is said in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.cells import cells, link
from support.teaching import TaughtLine

from inspectd import cli
from inspectd.cli import teach_candidate, teach_report
from inspectd.wire import Evaluation

LINE = """
[line]
state_dir = "."
[[recipes]]
name = "a"
bank = "a.safetensors"
[[cameras]]
kind = "images"
name = "top"
recipe = "a"
folder = "pictures"
"""
GOOD = cells(defective=False)


@pytest.fixture
def teach(line: TaughtLine, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Runs `inspectd teach` for that line: the exit code, and what was printed."""
    (line.root / "line.toml").write_text(LINE)

    def run(*words: object, role: str = "", who: str = "") -> SimpleNamespace:
        capsys.readouterr()
        person = ["--role", role, "--who", who, "--why", "because"] if role else []
        command = ["teach", *map(str, words), *person, "--config", str(line.root / "line.toml")]
        code = cli.main(command)
        done = capsys.readouterr()
        assert "Traceback" not in done.err
        return SimpleNamespace(code=code, out=done.out, err=done.err)

    return run


def test_from_a_touch_to_a_version(
    line: TaughtLine, teach: Callable[..., SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing was taught yet" in teach("list").out
    images = link(GOOD[:20], line.root / "images")
    top = ("--recipe", "cells", "--camera", "top")
    assert "20 images are kept" in teach("adopt", *top, "--images", images, role="engineer", who="eva").out
    part = line.keep(GOOD[40], Evaluation.FAIL)
    line.write_journal()
    marked = teach("mark", part.name, "--part-is", "good", role="operator", who="olga")
    assert marked.out.startswith("case 7-1: top, fail with 2, the part is good")
    assert teach("confirm", "7-1", role="quality", who="quentin").out == "case 7-1: confirmed, good\n"
    assert "7-1" in teach("list").out

    def alone(module: Any, *words: str) -> str:
        """Without `inspectd teach` itself, which would hold this process back for good."""
        arguments = cli._parser("teach").parse_args(
            ["teach", *words, "--config", str(line.root / "line.toml")]
        )
        capsys.readouterr()
        assert module.main(arguments) == 0
        return capsys.readouterr().out

    eva = ("--role", "engineer", "--who", "eva")
    made = json.loads(alone(teach_candidate, "candidate", *top, *eva, "--json", "--device", "cpu"))
    sha256 = made["bank_sha256"]
    page = line.root / "report.html"
    printed = alone(teach_report, "report", sha256[:12], *eva, "--out", str(page), "--device", "cpu")
    assert "passed, kept by chance" in printed
    assert page.read_text().startswith("<!doctype html>")
    listed = json.loads(teach("list", "--json").out)
    assert [each["bank_sha256"] for each in listed["candidates"]] == [sha256]
    golden = ("golden", *top, "--images", link(GOOD[30:32], line.root / "golden"))
    quentin = {"role": "quality", "who": "quentin"}
    assert teach(*golden, "--expect", "fail", **quentin).out == "2 new golden images, fail\n"
    old = teach("propose", sha256, "--second-why", "looked", role="engineer", who="eva")
    assert "its report is not of all that is known now" in old.err
    assert teach(*golden, "--take-out", **quentin).out == "2 golden images taken out\n"
    second = ("--second-why", "looked at each")
    assert "proposed; next" in teach("propose", sha256, *second, role="engineer", who="eva").out
    assert "cells@2: is in the store" in teach("approve", sha256, role="quality", who="quentin").out
    audit = line.place.audit.read_text()
    assert '"door":"command by ' in audit


@pytest.mark.parametrize(
    ("words", "role", "message"),
    [
        (("mark", "7:1", "--part-is", "good"), "operator", "holds no evidence of verdict 7:1"),
        (("mark", "x", "--part-is", "good"), "operator", "expected EPOCH:SEQ"),
        (("confirm", "7-1"), "inspector", "got case '7-1', expected one of `inspectd teach list`"),
        (("confirm", "7-1"), "admin", "--role: got 'admin', expected inspector or quality"),
        (("approve", "abcdef"), "quality", "got candidate 'abcdef', expected 6 or more digits"),
        (("adopt", "--recipe", "x", "--camera", "top", "--images", "."), "engineer", "has no recipe 'x'"),
    ],
)
def test_what_is_wrong_is_said(
    teach: Callable[..., SimpleNamespace], words: tuple[str, ...], role: str, message: str
) -> None:
    done = teach(*words, role=role, who="anna")
    assert done.code == 2
    assert message in done.err
