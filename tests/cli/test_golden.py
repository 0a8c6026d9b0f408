"""`inspectd golden`: the report of a record, and the dialog with a line that answers by a real check."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest
import zmq

from inspectd import cli, wire
from inspectd.cli.golden_run import GoldenDialog
from inspectd.client.golden import GoldenAsker
from inspectd.config import GoldenPart
from inspectd.errors import InputError, UnavailableError
from inspectd.golden.check import GoldenCheck
from inspectd.golden.results import CheckResult, append_line
from inspectd.golden.schedule import GoldenSubject
from inspectd.wire import Evaluation
from inspectd.wire.golden import (
    GoldenAck,
    GoldenAction,
    GoldenRefusal,
    GoldenRefusalReason,
    GoldenRequest,
    GoldenView,
)

SUBJECT = GoldenSubject("a", "a" * 64)
PARTS = (
    GoldenPart(name="good", recipe="a", expect="pass"),
    GoldenPart(name="crack", recipe="a", expect="fail", score_min=0.8, cameras=("side",)),
)
PASS, FAIL, UNDECIDABLE = Evaluation
BANK = "b" * 64


class GoldenLine:
    """A line with one check at a time; `sees` are the views of the next showings."""

    def __init__(self, endpoint: str, sees: list[list[GoldenView]], triggered: list[str]) -> None:
        self.sees, self.triggered = sees, triggered
        self.asked: list[GoldenRequest] = []
        self.check: GoldenCheck | None = None
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(endpoint)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(20):
                client, data = self._socket.recv_multipart()
                self._socket.send_multipart([client, wire.encode(self._answer(data))])

    def _answer(self, data: bytes) -> GoldenAck | GoldenRefusal:
        request = msgspec.json.decode(data, type=GoldenRequest)
        self.asked.append(request)
        if request.action is GoldenAction.BEGIN:
            if request.recipe not in {None, "a"}:
                detail = "recipe 'x' is not in force"
                return GoldenRefusal(request.request, GoldenRefusalReason.UNKNOWN_RECIPE, detail)
            self.check = GoldenCheck("c1", SUBJECT, PARTS, ["top"], who=request.who, now_ns=0)
        if request.action is GoldenAction.SHOW or (request.action is GoldenAction.STATUS and self.triggered):
            part = request.part or self.check.to_show[0].part
            if (refusal := self.check.refusal(part)) is not None:
                return GoldenRefusal(request.request, *refusal)
            self.check.take(part, self.sees.pop(0), SUBJECT, now_ns=0, utc_ns=0)
        if request.action is GoldenAction.END and self.check is None:
            return GoldenRefusal(request.request, GoldenRefusalReason.NO_CHECK, "no check is under way")
        if request.action is GoldenAction.END:
            self.check.end()
        check = self.check
        return GoldenAck(
            request.request, request.action, [], check.name, "a", check.outcome if check.is_over else None,
            check.problems, check.to_show, len(check.showings), (check.showings or [None])[-1],
            self.triggered,
        )  # fmt: skip


@contextmanager
def line(folder: Path, *sees: list[GoldenView], triggered: tuple[str, ...] = ()) -> Iterator[GoldenLine]:
    served = GoldenLine(f"ipc://{folder}/control.sock", list(sees), list(triggered))
    try:
        yield served
    finally:
        served.close()


def view(camera: str, evaluation: Evaluation, score: float | None) -> GoldenView:
    return GoldenView(camera, evaluation, "deadline" if score is None else "", score, 0.5, BANK)


GOOD_SEEN, CRACK_SEEN = [view("top", PASS, 0.2)], [view("side", FAIL, 0.9)]


def run(folder: Path, *, person=lambda _: "", recipe: str | None = None) -> int:
    with GoldenAsker(f"ipc://{folder}/control.sock", who="kim") as asker:
        return GoldenDialog(asker, 5.0, read_line=person, pause=lambda _: None).run(recipe)


def test_a_person_is_led_through_a_check_that_passes(tmp_path: Path, capsys) -> None:
    prompts: list[str] = []
    with line(tmp_path, [view("top", UNDECIDABLE, None)], GOOD_SEEN, CRACK_SEEN) as served:
        assert run(tmp_path, person=lambda prompt: prompts.append(prompt) or "") == 0
        assert (served.check.who, served.asked[0].who) == ("kim", "kim")
    assert [prompt.split(",")[0] for prompt in prompts] == [
        "put good in front of top", "put good in front of top", "put crack in front of side",
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "check of recipe a; Ctrl-C ends it",
        "  good: not judged; it has to be shown again (top undecidable)",
        "    good on top: undecidable (deadline)",
        "  good: as expected (top pass 0.2)",
        "  crack: as expected (side fail 0.9)",
        "passed",
    ]


def test_a_part_that_disagrees_is_named_and_the_others_are_shown_all_the_same(tmp_path: Path, capsys) -> None:
    with line(tmp_path, [view("top", FAIL, 0.6)], [view("side", FAIL, 0.61)]):
        assert run(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "FAILED",
        "  good on top: fail with score 0.6 at threshold 0.5, expected pass",
        "  crack on side: score 0.61, expected at least 0.8",
    ]


def test_parts_of_triggered_cameras_are_announced_by_their_trigger(tmp_path: Path, capsys) -> None:
    def nobody(prompt: str) -> str:
        raise AssertionError(prompt)

    with line(tmp_path, GOOD_SEEN, CRACK_SEEN, triggered=("top", "side")):
        assert run(tmp_path, person=nobody) == 0
    assert 'send good past top; its trigger has "golden": "good"' in capsys.readouterr().out


@pytest.mark.parametrize("leaves", [KeyboardInterrupt, EOFError])
def test_who_leaves_ends_the_check_and_changes_nothing(tmp_path: Path, capsys, leaves) -> None:
    def leave(_: str) -> str:
        raise leaves

    with line(tmp_path) as served:
        assert run(tmp_path, person=leave) == 1
        assert served.asked[-1].action is GoldenAction.END
    assert "abandoned: nothing has changed" in capsys.readouterr().out


def test_anybody_ends_a_check_that_was_left(line_file: Path, capsys) -> None:
    (line_file.parent / "run").mkdir()
    end = ["golden", "end", "--config", str(line_file)]
    with line(line_file.parent / "run") as served:
        with GoldenAsker(f"ipc://{line_file.parent}/run/control.sock", who="kim") as asker:
            asker.ask(GoldenAction.BEGIN)
        assert cli.main([*end, "--who", "anna"]) == 0
        assert (served.asked[-1].action, served.asked[-1].who) == (GoldenAction.END, "anna")
        served.check = None
        assert cli.main(end) == 1
    said = capsys.readouterr()
    assert said.out == "check c1 is ended; what was due is still due\n"
    assert "no check is ended: no check is under way" in said.err


def test_a_line_that_refuses_or_does_not_answer_is_an_error_for_people(tmp_path: Path) -> None:
    with line(tmp_path), pytest.raises(InputError, match="no check can be begun: recipe 'x' is not in force"):
        run(tmp_path, recipe="x")
    with (
        GoldenAsker(f"ipc://{tmp_path}/nobody.sock") as asker,
        pytest.raises(UnavailableError, match=r"no answer within 0\.1 s; is this the control socket"),
    ):
        asker.ask(GoldenAction.STATUS, timeout_seconds=0.1)


def test_a_line_that_goes_as_it_is_asked_is_not_asked_once_it_is_back(tmp_path: Path) -> None:
    endpoint, calls = f"ipc://{tmp_path}/control.sock", count(1)

    def clock() -> float:
        if next(calls) == 3:  # the request may be sent, and is about to be
            there.close(linger=0)
            while asker._socket.poll(0, zmq.POLLOUT):
                time.sleep(0.005)
        return time.monotonic()

    with zmq.Context() as context, GoldenAsker(endpoint, clock=clock) as asker:
        asker._socket.setsockopt(zmq.SNDTIMEO, 5000)  # it must not wait at all
        there = context.socket(zmq.ROUTER)
        there.bind(endpoint)
        with pytest.raises(UnavailableError, match="no answer within 10 s"):
            asker.ask(GoldenAction.END, timeout_seconds=10)
        with context.socket(zmq.ROUTER) as back:
            back.bind(endpoint)
            assert asker._socket.poll(5000, zmq.POLLOUT)
            assert not back.poll(100)


@pytest.fixture
def line_file(tmp_path: Path) -> Path:
    file = tmp_path / "line.toml"
    file.write_text(
        '[line]\nplant = "demo"\nstate_dir = "state"\nruntime_dir = "run"\n'
        '[[recipes]]\nname = "a"\nbank = "a.safetensors"\n'
        '[[cameras]]\nkind = "images"\nname = "top"\nrecipe = "a"\nfolder = "pictures"\n'
    )
    return file


def record(line_file: Path) -> None:
    for day in range(12):
        check = GoldenCheck("c", SUBJECT, PARTS, ["top"], who="kim", now_ns=0)
        at = 1_780_000_000 * 10**9 + day * 86_400 * 10**9
        crack = 0.7 if day == 11 else 0.9
        check.take("good", [view("top", PASS, 0.1 + day / 50)], SUBJECT, now_ns=0, utc_ns=at)
        check.take("crack", [view("side", FAIL, crack)], SUBJECT, now_ns=0, utc_ns=at)
        append_line(
            line_file.parent / "state" / "golden.jsonl",
            CheckResult(
                at, at, "c", "kim", "a", None, SUBJECT.sha256, check.outcome, check.problems, check.showings
            ),
        )


def test_the_report_fits_80_columns_and_names_drifts_and_failures(line_file: Path, capsys) -> None:
    record(line_file)
    page = line_file.parent / "page.html"
    assert cli.main(["golden", "report", "--config", str(line_file), "--out", str(page)]) == 0
    out = capsys.readouterr().out
    assert all(len(row.rstrip()) <= 80 for row in out.splitlines() if str(page) not in row), out
    assert "checks      11 passed, 1 failed, 0 abandoned" in out
    assert "bad parts   0 of 12, 0.0% (0.0% to 26.5%), passed" in out
    joined = " ".join(out.split())
    assert "warning: good on top drifts towards the threshold 0.5: +0.02 a day, now 0.32;" in joined
    assert "a: crack on side: score 0.7, expected at least 0.8" in joined
    assert "Golden parts of demo/line1" in page.read_text()


def test_the_report_as_json_has_all_there_is(line_file: Path, capsys) -> None:
    record(line_file)
    with (line_file.parent / "state" / "golden.jsonl").open("a") as file:
        file.write("{}\n")
    assert cli.main(["golden", "report", "--config", str(line_file), "--json"]) == 0
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert (facts["checks"]["failed"], len(facts["parts"]), len(facts["failures"])) == (1, 2, 1)
    assert "1 lines of the record cannot be read" in captured.err


def test_a_record_that_nobody_can_read_is_not_said_to_be_empty(line_file: Path, capsys) -> None:
    (line_file.parent / "state").mkdir()
    (line_file.parent / "state" / "golden.jsonl").write_bytes(b"\0x\n\xff\n")
    assert cli.main(["golden", "report", "--config", str(line_file)]) == 2
    assert "2 lines of the file cannot be read, and may be of checks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ("report", 2, "no check with golden parts is recorded; `inspectd golden run` does one"),
        ("report --recipe b", 2, "with golden parts of recipe 'b' is recorded, expected one of: a"),
        ("run", 3, "its line does not run here"),
        ("run --timeout 0", 2, "--timeout: got 0, expected seconds above 0"),
        ("run --who " + "k" * 65, 2, "expected at most 64 printable characters"),
    ],
)
def test_what_cannot_be_done_is_said(line_file: Path, capsys, words: str, code: int, why: str) -> None:
    if "--recipe" in words:
        record(line_file)
    assert cli.main(["golden", *words.split(), "--config", str(line_file)]) == code
    assert why in capsys.readouterr().err
