"""The main process's side of scoring: what is believed of a process, what each of several begins with."""

from __future__ import annotations

import math
import socket
from pathlib import Path

import msgspec
import pytest

from inspectd.config import Config, ImagesCamera, Recipe, ScoringSettings
from inspectd.errors import InputError
from inspectd.ipc.channel import Channel, ContradictionError
from inspectd.records import BankInForce, Batch, ClosedBy, FrameRef, Inspection, Pace, Trigger
from inspectd.scoring.messages import FromScoring, ScoringReady, StartScoring
from inspectd.scoring.pool import ScoringPool, process_names, process_starts


class Events:
    def __init__(self) -> None:
        self.ready: list[tuple[int, ScoringReady]] = []

    def on_scoring_ready(self, process: int, ready: ScoringReady) -> None:
        self.ready.append((process, ready))

    def on_scoring_lost(self, process: int, cause: str, exit_code: int | None, now_ns: int) -> None: ...

    def rings(self) -> list:
        return []


def ready(*recipes: str) -> ScoringReady:
    banks = [BankInForce(name, "ab", "patchcore", "none", 1, 1, 1.0) for name in recipes]
    return ScoringReady(banks, [], "cpu", 0.1)


def pool(folder: Path, recipes: str, *devices: str) -> tuple[ScoringPool, Events]:
    config = Config(
        cameras=(ImagesCamera(name="c", recipe="a", folder=str(folder)),),
        recipes=tuple(Recipe(name=name, bank="x.bank") for name in recipes),
        scoring=ScoringSettings(devices=devices),
    )
    events = Events()
    return ScoringPool(config, events, config.recipes), events


def test_a_process_that_loaded_other_recipes_than_the_lines_is_not_believed(tmp_path: Path) -> None:
    made, events = pool(tmp_path, "ab")
    (stage,) = made.serving
    for wrong in (ready("a"), ready("a", "b", "c"), ready()):
        with pytest.raises(ContradictionError, match=r"expected \['a', 'b'\]"):
            stage.received(wrong, [], 0)
    assert stage.ready is None
    stage.received(ready("b", "a"), [], 0)
    assert len(events.ready) == 1


@pytest.fixture
def narrow(tmp_path: Path):
    """A warm process's stage, and the child's end of a channel that carries some 200 KB, as on many hosts."""
    (stage,) = pool(tmp_path, "a")[0].serving
    mine, theirs = Channel.pair()
    ours, child = Channel(mine, FromScoring), Channel(theirs, StartScoring | Batch)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
    stage.started(ours)
    child.receive()
    stage.received(ready("a"), [], 0)
    yield stage, child
    ours.close()
    child.close()


def batch_of(frame: FrameRef) -> Batch:
    return Batch(1, "a", [Inspection(number, frame, "a", 0, 1) for number in range(256)], ClosedBy.FULL)


def test_a_full_batch_fits_however_long_the_names_of_parts_and_files_are(narrow) -> None:
    stage, child = narrow
    trigger = Trigger("t" * 64, "p" * 128)
    frame = FrameRef("c", 1, 0, 1, 0, 0, 2, 2, trigger=trigger, source="x" * 4000, sha256="0" * 64)
    assert stage.send(batch_of(frame))
    sent = child.receive()[0]
    assert [inspection.inspection_id for inspection in sent.inspections] == list(range(256))
    assert (sent.inspections[0].frame.camera, stage.stuck) == ("c", None)


def test_a_batch_that_does_not_fit_costs_the_process_and_not_the_line(narrow) -> None:
    stage, _ = narrow
    assert not stage.send(batch_of(FrameRef("c", 1, 0, 1, 0, 0, 2, 2, label="x" * 4000)))
    assert "net.core.wmem_max" in stage.stuck


@pytest.mark.parametrize("wrong_ms", [0.0, -1.0, math.inf, math.nan])
def test_a_time_that_no_plan_can_be_made_with_is_not_believed(tmp_path: Path, wrong_ms: float) -> None:
    (stage,) = pool(tmp_path, "a")[0].serving
    for pace in (Pace("a", wrong_ms, 1.0), Pace("a", 1.0, wrong_ms)):
        with pytest.raises(ContradictionError, match=r"expected some time"):
            stage.received(msgspec.structs.replace(ready("a"), paces=[pace]), [], 0)
    assert stage.ready is None


def test_several_may_hold_a_part_of_the_recipes_each_and_are_ready_when_none_is_missing(
    tmp_path: Path,
) -> None:
    made, events = pool(tmp_path, "abc", "cuda:0", "cuda:1", "cuda:2")
    first, second, third = made.serving
    for wrong in (ready(), ready("a", "d")):
        with pytest.raises(ContradictionError, match="expected some of"):
            first.received(wrong, [], 0)
    first.received(ready("a"), [], 0)
    second.received(ready("a", "b"), [], 0)
    assert not made.is_ready
    third.received(ready("c"), [], 0)
    assert made.is_ready
    first.lost("gone", None, 0)
    assert made.is_ready
    second.lost("gone", None, 0)
    assert not made.is_ready
    assert [process for process, _ in events.ready] == [0, 1, 2]


@pytest.mark.parametrize(
    ("devices", "asked", "spare"),
    [((), ["a", "b"], ("b",)), (("cuda:0", "cuda:1"), ["a", "b", "c"], ("c", "b"))],
)
def test_a_process_that_starts_anew_is_asked_for_what_is_wanted_now(
    tmp_path: Path, devices, asked, spare
) -> None:
    made, _ = pool(tmp_path, "abc", *devices)
    made.serve({"a"}, ["b"])
    for stage in made.serving:
        ours, theirs = Channel.pair()
        main, child = Channel(ours, FromScoring), Channel(theirs, StartScoring)
        stage.started(main)
        start, _ = child.receive()
        assert ([recipe.name for recipe in start.recipes], start.spare) == (asked, spare)
        main.close()
        child.close()


@pytest.mark.parametrize(
    ("devices", "threads", "cores", "expected"),
    [
        ((), 0, 4, [("auto", 0, ())]),
        (("cpu",), 0, 4, [("cpu", 0, ())]),
        (("cuda:0", "cuda:1"), 0, 4, [("cuda:0", 0, ()), ("cuda:1", 0, ())]),
        (("cpu", "cpu"), 0, 2, [("cpu", 1, (0,)), ("cpu", 1, (1,))]),
        (("cpu", "cpu", "cpu"), 0, 8, [("cpu", 2, (0, 1)), ("cpu", 3, (2, 3, 4)), ("cpu", 3, (5, 6, 7))]),
        (("cpu", "cpu"), 4, 4, [("cpu", 4, (0, 1)), ("cpu", 4, (2, 3))]),
        (("cuda:0", "cpu"), 0, 2, [("cuda:0", 0, ()), ("cpu", 0, ())]),
    ],
)
def test_each_process_begins_with_its_device_and_share_of_the_cores(devices, threads, cores, expected):
    settings = ScoringSettings(devices=devices, threads=threads)
    starts = process_starts(settings, (Recipe(name="a", bank="x.bank"),), 8, (), range(cores))
    assert [(each.scoring.device, each.scoring.threads, each.cores) for each in starts] == expected
    assert [each.process for each in starts] == list(range(len(expected)))


def test_more_processes_on_the_cpu_than_cores_are_refused():
    with pytest.raises(InputError, match=r"scoring\.devices: names the CPU 3 times, expected at most 2"):
        process_starts(ScoringSettings(devices=("cpu",) * 3), (), 8, (), range(2))


def test_one_process_keeps_its_name_and_several_are_numbered():
    assert (
        process_names(ScoringSettings()) == process_names(ScoringSettings(devices=("cuda:1",))) == ["scoring"]
    )
    assert process_names(ScoringSettings(devices=("cpu", "cpu"))) == ["scoring-0", "scoring-1"]
