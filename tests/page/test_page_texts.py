"""The page knows again, by its texts, what the line says in words: so it can say it in another language."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from typing import get_args

import build_page

from inspectd.config.settings import GoldenPart
from inspectd.golden.check import GoldenCheck
from inspectd.golden.schedule import GoldenSubject
from inspectd.health import LineFacts, find_conditions
from inspectd.page import login_form
from inspectd.page.settings import Language
from inspectd.quality.drift import Drift
from inspectd.records import CameraPhase
from inspectd.wire import Evaluation, Reason
from inspectd.wire.golden import GoldenView


def test_every_language_that_can_be_chosen_has_its_texts_and_no_other_has() -> None:
    files = {file.stem for file in (build_page.PAGE / "texts").glob("*.json")}
    assert files == set(get_args(Language)) == set(login_form._TEXTS)


def test_a_wrong_password_is_said_in_the_audit_page_s_own_words() -> None:
    for language in get_args(Language):
        texts = json.loads((build_page.PAGE / "texts" / f"{language}.json").read_text())
        assert texts["audit.result.refused: wrong"] != "refused: wrong"  # as account_routes records it


def test_details_that_the_line_says_are_known_again_by_the_page_s_texts() -> None:
    texts = json.loads((build_page.PAGE / "texts" / "en.json").read_text())
    known = [
        re.compile(re.sub(r"\\\{\w+\\\}", "(.+?)", re.escape(text)))
        for key, text in texts.items()
        if key.startswith("detail.")
    ]
    down, opening, bad = CameraPhase.DOWN, CameraPhase.OPENING, Counter({(Evaluation.FAIL, Reason.BLACK): 7})
    facts = LineFacts(
        "running", False, {"a": down, "b": opening}, {"a": bad}, keys_unread=True, doors_down=["control"]
    )
    conditions = [*find_conditions(facts), *find_conditions(dataclasses.replace(facts, state="starting"))]
    said = [each.detail for each in conditions]
    said += [
        f"recipe cell: its parts are {how} until a check passes"
        for how in ("judged", "undecidable", "judged until 21:58, from then on every part is undecidable")
    ]
    for hours in (None, 7.0):
        drift = Drift("process", "score", 0.7715, 0.1671, 1.0, 0.73, hours)
        said += str(drift).split("; ")
    part = GoldenPart(name="good-1", recipe="cell", expect="pass", cameras=["top"])
    check = GoldenCheck("c", GoldenSubject("cell", "ab"), [part], ["top"], who="kim", now_ns=0)
    for evaluation, score in (("fail", 5.0), ("undecidable", None)):
        view = GoldenView("top", Evaluation(evaluation), "black", score, 4.0, "ab")
        said += check.take("good-1", [view], check.subject, now_ns=0, utc_ns=0).problems
    assert len(said) > 8
    assert [text for text in said if not any(each.fullmatch(text) for each in known)] == []
