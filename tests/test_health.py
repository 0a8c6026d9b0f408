"""What is wrong with a line, from the facts; and the event when that changes."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from support.messages import verdict

from inspectd.health import HealthWatch, LineFacts, RecentVerdicts, find_conditions, status_of
from inspectd.metrics import Metrics
from inspectd.quality.drift import Drift, DriftCause
from inspectd.records import CameraPhase
from inspectd.wire import Evaluation, HealthStatus, Reason, RefusalReason
from inspectd.wire.health import CONDITIONS

DOC = (Path(__file__).parents[1] / "docs/operations.md").read_text()
WELL = LineFacts("running", scoring_ready=True, phases={"cam1": CameraPhase.UP, "cam2": CameraPhase.UP})
SECOND_NS = 1_000_000_000


def with_reason(reason: Reason):
    return msgspec.structs.replace(verdict(1), evaluation=Evaluation.UNDECIDABLE, reason=reason, score=None)


def recent(*reasons: Reason):
    verdicts = RecentVerdicts()
    for reason in reasons:
        verdicts.add(with_reason(reason), 0)
    return verdicts.kinds(0)


def told(**changes) -> list[tuple[str, str | None]]:
    facts = LineFacts(**{name: getattr(WELL, name) for name in WELL.__dataclass_fields__} | changes)
    return [(each.condition, each.camera) for each in find_conditions(facts)]


def test_a_line_that_judges_all_is_good() -> None:
    kinds = recent(Reason.WITHIN_THRESHOLD, Reason.ABOVE_THRESHOLD)
    assert told(recent={"cam1": kinds}) == []
    assert told(phases={"cam1": CameraPhase.ENDED}) == []
    assert status_of([]) is HealthStatus.GOOD


QUALITY = [reason for reason in Reason if reason.startswith("quality_")]


def drifting(cause: DriftCause) -> Drift:
    return Drift(cause, "mean_grey", 97.0, 120.0, 80.0, 0.575, 8.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scoring_ready": False}, ("scoring_down", None)),
        ({"scoring_down": ["scoring-1"]}, ("scoring_process_down", None)),
        ({"scoring_ready": False, "scoring_down": ["scoring-0", "scoring-1"]}, ("scoring_down", None)),
        ({"phases": {"cam1": CameraPhase.DOWN}}, ("camera_down", "cam1")),
        ({"phases": {"cam1": CameraPhase.OPENING}}, ("camera_opening", "cam1")),
        ({"state": "starting", "scoring_ready": False}, ("starting", None)),
        ({"state": "draining"}, ("stopping", None)),
        ({"journal_failure": "disk full"}, ("journal_failed", None)),
        ({"evidence_problem": "disk full"}, ("evidence_stopped", None)),
        ({"evidence_stuck": "2026-11-27"}, ("evidence_stuck", None)),
        ({"told": [("golden_due", "recipe r")]}, ("golden_due", None)),
        ({"told": [("golden_none", "recipe r")]}, ("golden_none", None)),
        ({"told": [("golden_overdue", "recipe r")]}, ("golden_overdue", None)),
        ({"told": [("golden_failed", "recipe r")]}, ("golden_failed", None)),
        ({"told": [("recipe_contradicted", "a@1")]}, ("recipe_contradicted", None)),
        ({"told": [("audit_failed", "disk full")]}, ("audit_failed", None)),
        ({"told": [("shadow_down", "r@2")]}, ("shadow_down", None)),
        ({"told": [("sockets_gone", "/run/l1 was removed")]}, ("sockets_gone", None)),
        ({"not_set": {"cam1": "no such control"}}, ("camera_settings_failed", "cam1")),
        ({"doors_down": ["local"]}, ("door_down", None)),
        ({"shut": ["tcp sync"]}, ("door_shut", None)),
        ({"keys_unread": True}, ("keys_unread", None)),
        ({"exposed": ["publish.verdicts_tcp"]}, ("insecure", None)),
        *(({"drifts": {"cam1": [drifting(cause)]}}, (f"drift_{cause}", "cam1")) for cause in DriftCause),
        *(({"recent": {"cam2": recent(reason)}}, (reason, "cam2")) for reason in QUALITY),
        ({"recent": {"cam2": recent(Reason.OVERLOAD)}}, ("too_fast", "cam2")),
        ({"recent": {"cam2": recent(Reason.DEADLINE)}}, ("late", "cam2")),
        ({"recent": {"cam2": recent(Reason.SCORING_LOST)}}, ("scoring_restarted", "cam2")),
        ({"recent": {"cam2": recent(Reason.SCORING_DOWN)}}, ("scoring_restarted", "cam2")),
        ({"recent": {"cam2": recent(Reason.SCORING_ERROR)}}, ("scoring_errors", "cam2")),
        ({"recent": {"cam2": recent(Reason.BLACK, Reason.STALE)}}, ("bad_frames", "cam2")),
        ({"recent": {"cam2": recent(Reason.FORMAT)}}, ("wrong_format", "cam2")),
        ({"recent": {"cam2": recent(Reason.MISSED_TRIGGER)}}, ("missed_triggers", "cam2")),
        ({"recent": {"cam2": recent(Reason.NO_PART)}}, ("empty_triggers", "cam2")),
        ({"refused": Counter({RefusalReason.NOT_READY: 3})}, ("triggers_refused", None)),
    ],
)
def test_each_fact_is_a_condition(changes, expected) -> None:
    assert told(**changes) == [expected]


def test_every_condition_is_one_of_the_table_and_in_the_documentation() -> None:
    cases = test_each_fact_is_a_condition.pytestmark[0].args[1]
    assert {expected[0] for _, expected in cases} == set(CONDITIONS)
    listed = dict(
        re.findall(
            r"^\| `(\w+)` \| ([a-z ]+) \|", DOC.split("| Condition |")[1].split("\n\n")[0], re.MULTILINE
        )
    )
    assert listed == {name: status.replace("_", " ") for name, status in CONDITIONS.items()}


def test_the_most_severe_is_the_signal_and_comes_first() -> None:
    facts = LineFacts(
        "running", scoring_ready=False, phases={"cam1": CameraPhase.OPENING}, exposed=["x"],
        recent={"cam1": recent(Reason.OVERLOAD, Reason.OVERLOAD, Reason.WITHIN_THRESHOLD)},
    )  # fmt: skip
    found = find_conditions(facts)
    assert [each.status for each in found] == [
        "failure", "function_check", "out_of_specification", "maintenance_required",
    ]  # fmt: skip
    assert found[2].detail == "2 of 3 verdicts of the last minute"
    assert status_of(found) is HealthStatus.FAILURE
    assert status_of(found[2:]) is HealthStatus.OUT_OF_SPECIFICATION


def test_what_a_minute_ago_went_wrong_is_forgotten() -> None:
    verdicts = RecentVerdicts()
    for second in range(90):
        verdicts.add(with_reason(Reason.OVERLOAD if second < 10 else Reason.BLACK), second * SECOND_NS)
    assert verdicts.kinds(60 * SECOND_NS)[Evaluation.UNDECIDABLE, Reason.OVERLOAD] == 9
    assert verdicts.kinds(89 * SECOND_NS) == {(Evaluation.UNDECIDABLE, Reason.BLACK): 60}
    assert verdicts.kinds(200 * SECOND_NS) == {}


def test_the_median_score_is_of_the_last_ones() -> None:
    verdicts = RecentVerdicts()
    assert verdicts.score_share() is None
    scored = msgspec.structs.replace(verdict(1), score=3.0, threshold=2.0)
    verdicts.add(scored, 0)
    for _ in range(200):
        verdicts.add(msgspec.structs.replace(scored, score=1.0), 0)
    assert verdicts.score_share() == 0.5


def test_conditions_said_at_once_are_bounded() -> None:
    found = told(phases={f"cam{number}": CameraPhase.DOWN for number in range(500)}, journal_failure="full")
    assert len(found) == 50


def test_none_of_the_conditions_that_hold_is_left_out_for_more_severe_ones() -> None:
    names = ("golden_failed", "golden_due", "golden_none")
    down = {f"cam{number}": CameraPhase.DOWN for number in range(500)}
    found = told(phases=down, told=[(name, "a check") for name in names], exposed=["x"])
    assert (len(found), {name for name, _ in found}) == (50, {*names, "camera_down", "insecure"})
    watch = HealthWatch(["cam1"], Metrics("line1", ["cam1"], 500), lambda *_, **__: None)
    watched = watch.find(replace(WELL, phases=down, told=[("golden_due", "a check")]))
    assert (len(watched), watched[-1].condition) == (50, "golden_due")
    assert len(CONDITIONS) < 50


def test_since_when_a_condition_holds_is_told_until_it_breaks_and_whatever_the_wall_clock_does() -> None:
    at = {"ns": 0, "utc_ns": 1_000 * SECOND_NS}
    metrics, clocks = Metrics("line1", ["cam1"], 500), (lambda: at["ns"], lambda: at["utc_ns"])
    watch = HealthWatch(["cam1"], metrics, lambda *_, **__: None, *clocks)

    def since(seconds: int, facts: LineFacts) -> dict[str, int]:
        at["ns"] += seconds * SECOND_NS
        at["utc_ns"] += seconds * SECOND_NS
        watch.update(facts)
        assert watch.find(facts) == watch.conditions  # of an answer to who asks
        return {each.condition: each.since_utc_ns // SECOND_NS for each in watch.conditions}

    full, down = {"journal_failure": "full"}, {"phases": {"cam1": CameraPhase.DOWN}}
    well = LineFacts("running", scoring_ready=True, phases={})
    assert since(0, replace(well, **full)) == {"journal_failed": 1_000}
    assert since(5, replace(well, **full, **down)) == {
        "journal_failed": 1_000, "camera_down": 1_005,
    }  # fmt: skip
    at["utc_ns"] += 3_600 * SECOND_NS  # somebody sets it
    assert since(5, replace(well, **full)) == {"journal_failed": 4_600}
    assert since(5, replace(well, **full, **down)) == {
        "journal_failed": 4_600, "camera_down": 4_615,
    }  # fmt: skip


def test_a_change_is_an_event_and_a_metric() -> None:
    events, metrics = [], Metrics("line1", ["cam1", "cam2"], 500)
    watch = HealthWatch(
        ["cam1", "cam2"], metrics, lambda *args, **fields: events.append((*args, fields["detail"]))
    )
    assert watch.status == "function_check"
    watch.update(WELL)
    assert watch.status == "good"
    down = LineFacts(
        "running", scoring_ready=True, phases={"cam1": CameraPhase.DOWN, "cam2": CameraPhase.DOWN}
    )
    for _ in range(3):
        watch.update(down)
    watch.update(WELL)
    assert events == [
        ("info", "health", "function_check -> good"),
        ("warning", "health", "good -> failure: cam1 camera_down; cam2 camera_down"),
        ("info", "health", "failure -> good"),
    ]
    watch.update(LineFacts("stopped", scoring_ready=True, phases={}))
    assert (len(events), watch.status) == (3, "function_check")
    watch.update(down)
    value = metrics.registry.get_sample_value
    assert value("inspectd_health", {"line": "line1", "status": "failure"}) == 1
    assert value("inspectd_health", {"line": "line1", "status": "good"}) == 0
    assert value("inspectd_health_conditions", {"line": "line1", "condition": "camera_down"}) == 2
