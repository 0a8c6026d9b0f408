"""What browsers load is what the sources give; and all its words are in every language."""

from __future__ import annotations

import json
import re
from pathlib import Path

import build_page
import page_types
import pytest

from inspectd.page.accounts.roles import Role
from inspectd.wire import Evaluation, Reason
from inspectd.wire.health import CONDITIONS

SOURCES = build_page.PAGE / "src"
TEXTS = sorted((build_page.PAGE / "texts").glob("*.json"))


def texts(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text())
    return found


def test_the_types_of_what_browsers_are_told_are_the_server_s() -> None:
    assert page_types.text() == page_types.FILE.read_text(), "run: make page"
    assert page_types.hub_text() == page_types.HUB_FILE.read_text(), "run: make page"


@pytest.mark.system
def test_the_bundle_of_the_repository_is_built_from_its_sources(tmp_path) -> None:
    build_page.install()
    build_page.build(tmp_path / "built", tmp_path / "hub")
    assert build_page.problems(build_page.ASSETS, tmp_path / "built") == []
    assert build_page.problems(build_page.HUB_ASSETS, tmp_path / "hub") == []


def test_a_bundle_that_is_another_or_too_large_or_names_another_host_is_found(tmp_path) -> None:
    for name in ("committed", "built"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text("app.js")
    (tmp_path / "built" / "app.js").write_bytes(b"https://fonts.example/a" + bytes(range(256)) * 1000)
    found = build_page.problems(tmp_path / "committed", tmp_path / "built")
    assert [re.sub(r".*/", "", problem)[:40] for problem in found[:1]] == [
        "app.js: is not what the sources give; ru"
    ]
    assert "fonts.example" in found[-1]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_language_has_every_text_with_the_same_places(path) -> None:
    english, other = texts(build_page.PAGE / "texts" / "en.json"), texts(path)
    assert other.keys() == english.keys()
    for key, text in other.items():
        assert text.strip(), key
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[key])), key


def test_every_text_is_used_and_every_one_that_is_used_is_there() -> None:
    sources = "\n".join(path.read_text() for path in SOURCES.rglob("*.ts*"))
    said_by_servers = {"error", "detail"}
    groups = set(re.findall(r'\bword\(\s*"([a-z_.]+)"', sources)) | said_by_servers
    for key in texts(TEXTS[0]):
        assert f'"{key}"' in sources or key.rpartition(".")[0] in groups, f"{key} is not used"


def test_no_words_are_written_into_the_pages_themselves() -> None:
    for path in SOURCES.rglob("*.tsx"):
        for words in re.findall(r">([^<>{}=;()]*[A-Za-z]{3,}[^<>{}=;()]*)</", path.read_text()):
            raise AssertionError(f"{path}: {words.strip()!r} belongs into texts")


def test_the_pages_words_for_the_line_are_all_that_it_can_say() -> None:
    english = texts(build_page.PAGE / "texts" / "en.json")
    said = {f"reason.{reason}" for reason in Reason} | {f"condition.{name}" for name in CONDITIONS}
    said |= {f"verdict.{word}" for word in Evaluation} | {f"role.{role}" for role in Role}
    # What docs/page_history.md lists: why there is no picture, and why verdicts are missing.
    documented = (build_page.ROOT / "docs" / "page_history.md").read_text()
    gaps, pictures = re.findall(r"\n\|---\|---\|\n((?:\|.*\n)+)", documented)[:2]
    said |= {f"gap.{word}" for word in re.findall(r"^\| `(\w+)`", gaps, re.MULTILINE)}
    said |= {f"no_picture.{word}" for word in re.findall(r"^\| `(\w+)`", pictures, re.MULTILINE)}
    assert said <= english.keys()
    assert len([key for key in said if key.startswith(("gap.", "no_picture."))]) > 10
    offered = re.search(r"REASONS = \[(.*?)\]", (SOURCES / "words.ts").read_text(), re.DOTALL)
    assert offered is not None
    assert set(re.findall(r'"(\w+)"', offered[1])) == set(Reason)
