"""What the page says of evidence whose directory it cannot see."""

from __future__ import annotations

from pathlib import Path

from support.page_history import made

from inspectd.page.history.evidence import EvidenceTree


def test_of_a_directory_that_is_not_there_nobody_knows_what_was_kept_in_it(tmp_path: Path) -> None:
    verdict = made(1, 1_000)
    (tmp_path / "evidence").mkdir()
    assert EvidenceTree(tmp_path / "evidence").has(verdict) == "none"
    elsewhere = EvidenceTree(tmp_path / "evidenz")
    assert elsewhere.has(verdict) == "unknown"
    assert elsewhere.find(verdict) is None
    assert elsewhere.why_none(verdict, 1_000_000) == "unreadable"
