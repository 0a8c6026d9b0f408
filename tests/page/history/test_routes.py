"""The history over HTTP: rows, export, trends, a part's page with real evidence; and what may go wrong."""

from __future__ import annotations

import csv
import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from PIL import Image
from support.messages import COUNTS, EPOCH
from support.page_history import START_MS, Filled, made

from inspectd.client import (
    Evaluation,
    Event,
    Item,
    LossReason,
    Lost,
    Position,
    Reason,
    Rectangle,
    Verdict,
    heat_of,
)  # fmt: skip
from inspectd.evidence.pictures import encode_frame, encode_heatmap
from inspectd.evidence.record import FACTS, FRAME, HEATMAP, EvidenceRecord
from inspectd.evidence.store import EvidenceStore
from inspectd.page import disk_desk
from inspectd.page.answers import ApiError
from inspectd.page.history.asking import HistoryQuestions
from inspectd.page.history.children import ChildResult
from inspectd.page.history.explaining import told_of
from inspectd.page.history.live_notes import DriftSample
from inspectd.page.history.queries import MAX_GAPS
from inspectd.wire.golden import GoldenOutcome, GoldenRecord, GoldenState

MINUTE_MS = 60_000
SCORES = np.linspace(0.0, 9.0, 12, dtype=np.float16).reshape(3, 4)


def failed(seq: int, at_ms: int, **changes: Any) -> Verdict:
    wrong = {"evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD, "score": 5.0}
    return made(seq, at_ms, **{**wrong, **changes})


def keep(
    root: Path, verdict: Verdict, *, heatmap: bool = True, size: tuple[int, int] = (40, 60),
    over: Rectangle | None = None,
) -> Path:  # fmt: skip
    """Evidence as the line writes it."""
    pixels = np.random.default_rng(1).integers(0, 255, (*size, 3), dtype=np.uint8)
    files, scale = {FRAME: encode_frame(pixels)}, None
    if heatmap:
        files[HEATMAP], scale = encode_heatmap(SCORES, over)
    record = EvidenceRecord(verdict, {"threshold": 2.5}, *size, scale, {"mean": 0.5}, "too dark")
    root.mkdir(exist_ok=True)
    return EvidenceStore(root, 10**9, 0).save(verdict, {**files, FACTS: msgspec.json.encode(record)})


def part(filled: Filled, seq: int, **options: Any) -> dict[str, Any]:
    answer = filled.client(**options).get(f"/api/parts/{EPOCH}/{seq}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_kept_part_shows_its_picture_and_its_heat_on_the_one_scale(filled: Filled, tmp_path: Path) -> None:
    item = failed(1, START_MS)
    filled.write([item])
    keep(tmp_path / "evidence", item, size=(1700, 2000))
    browser = filled.client(evidence_root=tmp_path / "evidence")
    assert browser.get("/api/verdicts").json()["rows"][0]["evidence"] == "kept"
    found = part(filled, 1, evidence_root=tmp_path / "evidence")
    assert (found["picture"]["width"], found["picture"]["height"]) == (2000, 1700)
    assert found["row"]["detail"] == "too dark"
    assert found["measures"] == {"mean": 0.5}
    picture = browser.get(found["picture"]["url"])
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.format == "JPEG"
        assert image.size == (1600, 1360)
    heat = browser.get(found["heatmap"]["url"]).content
    assert (found["heatmap"]["height"], found["heatmap"]["width"]) == SCORES.shape
    assert np.allclose(list(heat), list(heat_of(map(float, SCORES.ravel()), 2.5)), atol=1)


def test_heat_lies_over_what_the_bank_looked_at(filled: Filled, tmp_path: Path) -> None:
    """A part of the region that was judged, or all of it."""
    region, part_of_it = Rectangle(10, 0, 40, 40), Rectangle(30, 10, 20, 20)
    items = [failed(1, START_MS, region="left", rectangle=region), failed(2, START_MS, rectangle=region)]
    filled.write(items)
    keep(tmp_path / "evidence", items[0], over=part_of_it)
    keep(tmp_path / "evidence", items[1])
    found = [part(filled, seq, evidence_root=tmp_path / "evidence") for seq in (1, 2)]
    assert [each["heatmap"]["rectangle"] for each in found] == [
        msgspec.structs.asdict(part_of_it), msgspec.structs.asdict(region),
    ]  # fmt: skip
    assert found[0]["picture"]["rectangle"] == msgspec.structs.asdict(region)


def test_a_picture_that_is_not_there_says_why(filled: Filled, tmp_path: Path) -> None:
    root = tmp_path / "evidence"
    day_ms = 86_400_000
    filled.write(
        [
            failed(1, START_MS),
            made(2, START_MS + 2 * day_ms),
            failed(3, START_MS + 2 * day_ms, captured_utc_ns=None, frame_seq=None, score=None),
            failed(4, START_MS + 2 * day_ms),
            failed(5, START_MS + 3 * day_ms),
            failed(6, START_MS + 2 * day_ms, camera="../../etc"),
        ]
    )
    keep(root, failed(9, START_MS + 2 * day_ms))
    now = {"evidence_root": root, "clock": lambda: START_MS + 3 * day_ms + 1000}
    why = [part(filled, seq, **now)["picture"]["why"] for seq in range(1, 7)]
    assert why == ["removed", "pass_not_chosen", "no_frame", "not_recorded", "perhaps_soon", "not_recorded"]
    assert part(filled, 4)["picture"]["why"] == "other_host"
    (tmp_path / "empty").mkdir()  # a line that keeps none
    assert part(filled, 1, **{**now, "evidence_root": tmp_path / "empty"})["picture"]["why"] == "not_recorded"
    answer = filled.client(**now).get(f"/api/parts/{EPOCH}/4/picture")
    assert (answer.status_code, answer.json()["what"]) == (404, "not_recorded")


@pytest.mark.parametrize("what", ["not a picture", "cut", "bomb", "link", "json", "facts link", "pipe"])
def test_damaged_evidence_is_an_answer_in_words(filled: Filled, tmp_path: Path, what: str) -> None:
    item = failed(1, START_MS)
    filled.write([item])
    folder = keep(tmp_path / "evidence", item)
    frame = folder / FRAME
    if what == "link":
        frame.unlink()
        frame.symlink_to("/etc/passwd")
    elif what == "json":
        (folder / FACTS).write_bytes(b"{}")
    elif what == "facts link":
        (folder / FACTS).rename(tmp_path / "facts")
        (folder / FACTS).symlink_to(tmp_path / "facts")
    elif what == "pipe":
        (folder / FACTS).unlink()
        os.mkfifo(folder / FACTS)
    elif what == "bomb":
        data = bytearray(frame.read_bytes())
        data[16:24] = struct.pack(">II", 60_000, 60_000)  # width and height
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        frame.write_bytes(data)
    else:
        frame.write_bytes(b"GIF89a" if what == "not a picture" else frame.read_bytes()[:900])
    browser = filled.client(evidence_root=tmp_path / "evidence")
    answer = browser.get(f"/api/parts/{EPOCH}/1/picture")
    assert (answer.status_code, answer.json()["what"]) == (500, "damaged")
    assert "root:" not in answer.text
    assert browser.get(f"/api/parts/{EPOCH}/1").status_code == 200


@pytest.mark.parametrize("name", ["1/999", f"{2**70}/1", "a/1", "1/..%2f..%2fetc", "-1/1"])
def test_a_part_that_is_none_is_not_found(filled: Filled, name: str) -> None:
    for end in ("", "/picture", "/heatmap"):
        assert filled.client().get(f"/api/parts/{name}{end}").status_code == 404


def test_a_program_that_failed_with_the_code_of_another_score_has_explained_nothing(tmp_path: Path) -> None:
    failed_so = ChildResult(1, b"", "Traceback (most recent call last):\nMemoryError: 4 GB\n")
    with pytest.raises(ApiError, match="It cannot be explained here: MemoryError: 4 GB"):
        told_of(failed_so, tmp_path / "explained.png")


def test_a_part_whose_bank_is_not_here_says_so_when_it_is_to_be_explained(
    filled: Filled, tmp_path: Path, stub_bank: Path
) -> None:
    item = failed(1, START_MS)
    filled.write([item])
    keep(tmp_path / "evidence", item)
    line = tmp_path / "line.toml"
    line.write_text(
        f'[line]\nplant = "demo"\nname = "line1"\n[[recipes]]\nname = "cells"\nbank = "{stub_bank}"\n'
        f'[[cameras]]\nname = "camera1"\nrecipe = "cells"\nkind = "images"\nfolder = "{tmp_path}"\n'
    )
    url = f"/api/parts/{EPOCH}/1/explain"
    here = filled.client(evidence_root=tmp_path / "evidence", line_file=line)
    assert part(filled, 1, evidence_root=tmp_path / "evidence", line_file=line)["explain"]["available"]
    answer = here.post(url)
    assert (answer.status_code, answer.json()["what"]) == (409, "not_explained")
    assert answer.json()["error"].startswith("It cannot be explained here: ")
    assert filled.recorded == [("explain", f"verdict {EPOCH}:1")]
    elsewhere = filled.client(evidence_root=tmp_path / "evidence").post(url)
    assert elsewhere.json()["what"] == "other_host"
    assert filled.client(line_file=line).post(url).json()["what"] == "other_host"


@pytest.mark.parametrize(
    ("method", "path", "act"),
    [
        ("GET", "/api/verdicts", "view"), ("GET", "/api/verdicts.csv", "export"),
        ("GET", "/api/trends", "view"), ("GET", "/api/events", "view"),
        ("GET", f"/api/parts/{EPOCH}/1", "view"),
        ("GET", f"/api/parts/{EPOCH}/1/picture", "view"), ("GET", f"/api/parts/{EPOCH}/1/heatmap", "view"),
        ("POST", f"/api/parts/{EPOCH}/1/explain", "explain"),
    ],
)  # fmt: skip
def test_every_route_asks_for_its_act_first(filled: Filled, method: str, path: str, act: str) -> None:
    filled.acts.remove(act)
    assert filled.client().request(method, path).status_code == 403
    assert filled.recorded == []


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_an_export_has_every_row_and_gap_in_the_plants_zone_across_a_change_of_clocks(filled: Filled) -> None:
    before_ms = 1_761_438_600_000  # 2025-10-26T00:30:00Z: Berlin sets its clocks back at 01:00Z
    lost = Lost(Position(EPOCH, 2), Position(EPOCH, 4), 1, LossReason.TRUNCATED)
    filled.write([made(1, before_ms), made(2, before_ms + 3_600_000), lost, made(4, before_ms + 3_600_123)])
    answer = filled.client("Europe/Berlin").get("/api/verdicts.csv?reason=within_threshold")
    assert answer.headers["content-type"].startswith("text/csv")
    gap, *found = rows_of(answer.text)
    assert [row["decided"] for row in found] == [
        "2025-10-26T02:30:00.123+01:00",
        "2025-10-26T02:30:00.000+01:00",
        "2025-10-26T02:30:00.000+02:00",
    ]
    assert (gap["kind"], gap["reason"]) == ("gap", "truncated")
    assert filled.recorded == [("export", "verdicts.csv?reason=within_threshold")]


def test_an_export_has_more_gaps_than_a_page_and_a_page_says_so(filled: Filled) -> None:
    items: list[Item] = [made(1, START_MS)]
    for seq in range(3, 2 * (2 * MAX_GAPS + 5), 2):
        lost = Lost(Position(EPOCH, seq - 2), Position(EPOCH, seq), 1, LossReason.MISSING)
        items += [lost, made(seq, START_MS + 1000 * seq)]
    filled.write(items)
    gaps = [
        row["decided"]
        for row in rows_of(filled.client().get("/api/verdicts.csv").text)
        if row["kind"] == "gap"
    ]
    assert len(gaps) == len({*gaps}) == len(items) // 2
    page = filled.client().get("/api/verdicts").json()
    assert (len(page["gaps"]), page["has_older_gaps"]) == (MAX_GAPS, True)
    some = {"from_ms": START_MS, "to_ms": START_MS + 10_000}
    for path in ("/api/verdicts", "/api/trends"):
        found = filled.client().get(path, params=some).json()
        assert (len(found["gaps"]), found["has_older_gaps"]) == (5, False)


@pytest.mark.parametrize(
    "part_id",
    ['=HYPERLINK("http://x")', "+1", "-1", "@A1", "\t=1", " =1", "a\r\n=1", '"',
     "\uff1d1", "\uff0bA1", "7;=1", "7; @A1", '7;"=1"']
)  # fmt: skip
def test_no_cell_of_an_export_is_a_formula(filled: Filled, part_id: str) -> None:
    filled.write([made(1, START_MS, part_id=part_id, score=-1.5)])
    (row,) = rows_of(filled.client().get("/api/verdicts.csv").text)
    for cell in row["part_id"].split(";"):  # as spreadsheets of half of Europe do
        assert not cell.strip(' "').startswith(("=", "+", "-", "@", "\uff1d", "\uff0b"))
    assert "\n" not in row["part_id"]
    assert row["score"] == "-1.5"
    asked = filled.client().get("/api/verdicts", params={"part_id": part_id}).json()
    assert [found["part_id"] for found in asked["rows"]] == [part_id]


def test_who_is_logged_out_while_it_is_written_gets_no_more_of_an_export(filled: Filled) -> None:
    filled.write([made(seq, START_MS + seq) for seq in range(1, 2503)])
    with filled.client().stream("GET", "/api/verdicts.csv") as answer:
        filled.acts.clear()
        *found, last = rows_of(answer.read().decode())
    assert len(found) == 1000
    assert last["decided"] == "INCOMPLETE"


def test_a_long_export_is_whole(filled: Filled) -> None:
    filled.write([made(seq, START_MS + seq // 3) for seq in range(1, 2503)])
    found = rows_of(filled.client().get("/api/verdicts.csv").text)
    assert [int(row["seq"]) for row in found] == list(range(2502, 0, -1))


def test_rows_can_be_asked_for_by_the_recipes_that_they_have_whatever_the_line_has_loaded(
    filled: Filled,
) -> None:
    filled.write(
        [
            made(1, START_MS, recipe="tiles", recipe_version=1, bank_sha256="ab" * 32),
            made(2, START_MS + MINUTE_MS, recipe="tiles", recipe_version=2, bank_sha256="cd" * 32),
            made(3, START_MS + 2 * MINUTE_MS, recipe="cells"),
        ]
    )
    client = filled.client()
    assert client.get("/api/names").json() == {"cameras": ["camera1"], "recipes": ["cells", "tiles"]}
    rows = client.get("/api/verdicts", params={"recipe": "tiles"}).json()["rows"]
    assert [(row["recipe"], row["recipe_version"]) for row in rows] == [("tiles", 2), ("tiles", 1)]
    asked = {"from_ms": START_MS, "to_ms": START_MS + 5 * MINUTE_MS}
    marks = client.get("/api/trends", params=asked).json()["marks"]
    assert [(mark["camera"], mark["text"]) for mark in marks] == [
        ("camera1", "tiles@1 -> tiles@2"),
        ("camera1", f"tiles@2: {'ab' * 8} -> {'cd' * 8}"),
        ("camera1", "tiles@2 -> cells"),
    ]


def test_trends_count_what_happened_and_mark_what_changed(filled: Filled) -> None:
    first = START_MS - START_MS % MINUTE_MS
    golden = GoldenRecord(
        "demo", "line1", EPOCH, (first + 5) * 1_000_000, "check-1", "cells", None, "ab" * 32, "kim",
        GoldenState.PASSED, None, GoldenOutcome.PASSED, [],
    )  # fmt: skip
    filled.write(
        [
            *(made(seq, first + seq, score=1.0) for seq in range(1, 100)),
            failed(100, first + 100, score=25.0),
            made(101, first + 101, score=None, evaluation=Evaluation.UNDECIDABLE, reason=Reason.BLACK),
            made(102, first + 102, evaluation=Evaluation.UNDECIDABLE, reason=Reason.GOLDEN),
            made(103, first + MINUTE_MS, bank_sha256="cd" * 32),
            made(104, first + 3 * MINUTE_MS, recipe="wafers"),
            made(1, first + 4 * MINUTE_MS, epoch=EPOCH + 1, recipe="wafers"),
        ],
        golden=[golden],
        drift=[DriftSample(first + 7, "camera1", "", {"light": 0.25})],
        events=[
            Event("demo", "line1", EPOCH, first * 1_000_000, "alarm", "camera_down", "camera1", "x", COUNTS)
        ],
        heard_ms=first,
    )
    asked = {"from_ms": first, "to_ms": first + 5 * MINUTE_MS}
    found = filled.client().get("/api/trends", params=asked).json()
    assert (found["step_ms"], found["kind"], len(found["t"])) == (MINUTE_MS, "frame", 5)
    assert found["parts"] == [101, 1, 0, 1, 1]
    assert found["reject"] == {"above_threshold": [1, 0, 0, 0, 0]}
    assert found["undecidable"] == {"black": [1, 0, 0, 0, 0]}
    assert found["score_p50"][0] == pytest.approx(0.4, rel=0.02)
    assert found["score_p50"][2] is None
    assert found["threshold_high"][:2] == [2.5, 2.5]
    assert found["latency_p50"][0] == pytest.approx(31.25, rel=0.03)
    assert found["drift"] == {"light": [0.25, None, None, None, None]}
    assert [(each["recipe"], each["result"]) for each in found["golden"]] == [("cells", "passed")]
    assert [mark["kind"] for mark in found["marks"]] == ["bank", "recipe", "restart"]
    only = filled.client().get("/api/trends", params=asked | {"recipe": "wafers"}).json()
    assert only["parts"] == [0, 0, 0, 1, 1]
    year = filled.client().get(
        "/api/trends", params={"from_ms": first - 400 * 86_400_000, "to_ms": first + 1}
    )
    assert len(year.json()["t"]) <= 2000
    assert filled.client().get("/api/trends?from_ms=0").status_code == 400
    assert filled.client().get("/api/events").json()["rows"][0]["kind"] == "camera_down"


def test_trends_count_the_rows_of_the_span_and_no_others(filled: Filled) -> None:
    zone = ZoneInfo("Asia/Seoul")
    start, end = (
        round(datetime(2026, month, day, tzinfo=zone).timestamp() * 1000) for month, day in ((9, 1), (10, 11))
    )
    day = 86_400_000
    filled.write([made(seq, at) for seq, at in enumerate(range(start - day, end + day, 30 * MINUTE_MS), 1)])
    for from_ms, to_ms in (
        (start, end), (start, start + 3 * day), (end - MINUTE_MS, end + 31 * MINUTE_MS),
        (start + 7 * MINUTE_MS, start + 5 * day + 13 * MINUTE_MS),
    ):  # fmt: skip
        asked = {"from_ms": from_ms, "to_ms": to_ms}
        found = filled.client().get("/api/trends", params=asked).json()
        rows = rows_of(filled.client().get("/api/verdicts.csv", params=asked).text)
        assert (sum(found["parts"]), found["from_ms"], found["to_ms"]) == (len(rows), from_ms, to_ms)
    odd = {"from_ms": start + 1, "to_ms": start + MINUTE_MS + 1}
    found = filled.client().get("/api/trends", params=odd).json()
    assert (found["from_ms"], found["to_ms"], found["parts"]) == (start, start + 2 * MINUTE_MS, [1, 0])


def test_a_question_that_takes_too_long_ends_and_the_next_one_is_answered(filled: Filled) -> None:
    filled.write([made(seq, START_MS) for seq in range(1, 2000)])
    filled.questions._seconds = 0.0
    answer = filled.client().get("/api/verdicts?part_id=x&limit=200&score_min=1")
    slow = filled.client().get("/api/verdicts.csv")
    assert {answer.status_code, slow.status_code} & {503}
    filled.questions._seconds = 5.0
    assert filled.client().get("/api/verdicts").status_code == 200


def test_a_file_that_is_not_there_or_damaged_is_said(filled: Filled) -> None:
    filled.write([made(1, START_MS)])
    filled.store._connection.execute("UPDATE verdict SET body = x'00'")
    answer = filled.client().get("/api/verdicts")
    assert (answer.status_code, answer.json()["what"], filled.damage) == (503, "no_history", 1)
    filled.path.unlink()
    answer = filled.client().get("/api/verdicts")
    assert (answer.status_code, answer.json()["what"]) == (503, "no_history")


def test_the_history_of_another_line_is_not_shown_as_this_one_s(filled: Filled) -> None:
    filled.write([made(1, START_MS)])
    filled.questions.close()
    filled.questions = HistoryQuestions(filled.path, ("demo", "line2"), lambda: None)
    browser = filled.client()
    for path in ("verdicts", "verdicts.csv", "names", "trends", "events", f"parts/{EPOCH}/1"):
        answer = browser.get(f"/api/{path}")
        assert (answer.status_code, answer.json()["what"]) == (503, "other_history"), path
        assert "history of line demo/line1, expected demo/line2" in answer.json()["error"]


def test_a_disk_of_evidence_that_hangs_costs_pictures_alone(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.write([failed(1, START_MS)])
    release = threading.Event()
    monkeypatch.setattr(os, "lstat", lambda _: release.wait(10))
    monkeypatch.setattr(disk_desk, "_SECONDS", 0.05)
    browser = filled.client(evidence_root=tmp_path)
    assert browser.get("/api/verdicts").json()["rows"][0]["evidence"] == "unknown"
    assert browser.get(f"/api/parts/{EPOCH}/1").json()["picture"]["why"] == "evidence_disk"
    release.set()


def test_the_pages_own_process_loads_nothing_that_decodes_pictures() -> None:
    code = (
        "import sys; from inspectd.page.history import history, metrics, routes;"
        "print(sorted({'PIL', 'cv2', 'numpy', 'torch', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exports_take_turns_and_leave_room_for_questions(filled: Filled) -> None:
    filled.write([made(seq, START_MS + seq) for seq in range(1, 3001)])
    browser = filled.client()
    most = [0]
    ask = filled.questions.ask

    async def counting(question: Any) -> Any:
        most[0] = max(most[0], filled.questions._asked)
        return await ask(question)

    filled.questions.ask = counting  # type: ignore[method-assign]
    with browser:
        exports = [threading.Thread(target=browser.get, args=("/api/verdicts.csv",)) for _ in range(6)]
        for each in exports:
            each.start()
        for each in exports:
            each.join()
    assert most[0] == 0
