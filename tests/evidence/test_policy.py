from __future__ import annotations

import random

import pytest

from inspectd.config import EvidenceSettings
from inspectd.evidence.policy import EvidencePolicy
from inspectd.wire import Evaluation

SECOND_NS = 1_000_000_000


def kept_in(policy: EvidencePolicy, evaluation: Evaluation, seconds: int, per_second: int = 100) -> int:
    return sum(policy.take(evaluation, n * SECOND_NS // per_second) for n in range(seconds * per_second))


def test_a_line_of_nothing_but_rejects_keeps_so_many_a_second_and_no_more():
    policy = EvidencePolicy(EvidenceSettings(max_per_second=2), random.Random(1).random)
    assert kept_in(policy, Evaluation.FAIL, 100) == pytest.approx(200 + 10, abs=2)


def test_undecidable_parts_take_a_tenth_and_nothing_from_the_rejects():
    policy = EvidencePolicy(EvidenceSettings(max_per_second=2), random.Random(1).random)
    assert kept_in(policy, Evaluation.UNDECIDABLE, 100) == pytest.approx(20 + 1, abs=1)
    assert policy.take(Evaluation.FAIL, 0)


def test_second_looks_are_kept_as_fails_are_and_passes_take_nothing_from_them():
    policy = EvidencePolicy(EvidenceSettings(max_per_second=2), random.Random(1).random)
    assert sum(policy.take(Evaluation.PASS, 0) for _ in range(100)) == 10
    assert sum(policy.take(Evaluation.PASS, 0, second_look=True) for _ in range(100)) == 10
    assert not policy.take(Evaluation.FAIL, 0)


def test_what_is_wanted_is_what_the_settings_say():
    chance = random.Random(1)
    default = EvidencePolicy(EvidenceSettings(), chance.random)
    assert default.wants(Evaluation.FAIL)
    assert default.wants(Evaluation.UNDECIDABLE)
    assert sum(default.wants(Evaluation.PASS) for _ in range(10_000)) == pytest.approx(100, abs=40)
    assert all(default.wants(Evaluation.PASS, second_look=True) for _ in range(1000))
    none = EvidencePolicy(EvidenceSettings(fails=False, undecidables=False, pass_share=0), chance.random)
    assert not any(none.wants(evaluation) for evaluation in Evaluation for _ in range(1000))
    assert not any(none.wants(Evaluation.PASS, second_look=True) for _ in range(1000))
    every = EvidencePolicy(EvidenceSettings(pass_share=1), chance.random)
    assert all(every.wants(Evaluation.PASS) for _ in range(1000))
