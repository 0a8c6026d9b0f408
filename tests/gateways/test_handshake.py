"""The hand-shake with a PLC: every state, every transition, and that nothing but its own pass is a pass."""

from __future__ import annotations

import msgspec
import pytest
from support.messages import verdict
from support.plant_side import ENABLED, EPOCH, PlantSide, accepted

from inspectd.gateways.handshake import LineSeen, TriggerState
from inspectd.gateways.parts import Judgement, RefusedPart
from inspectd.gateways.registers import (
    ControlBit,
    LineBit,
    OfflineReason,
    RegisterError,
    ResultBit,
    StatusBit,
)
from inspectd.wire import Evaluation, Reason, ViewVerdict
from inspectd.wire.numbers import REASON_NUMBERS, TRIGGER_REFUSAL_NUMBERS

TRIGGERED = ENABLED | ControlBit.TRIGGER
ACKNOWLEDGED = ENABLED | ControlBit.RESULTS_ACK


@pytest.fixture
def side() -> PlantSide:
    return PlantSide().online()


def refusal(name: str) -> int:
    return TRIGGER_REFUSAL_NUMBERS[name]


def offline(side: PlantSide) -> OfflineReason:
    return OfflineReason(side.value("status") >> 4 & 7)


# --- a part, from trigger to acknowledgement ----------------------------------------------------------------


def test_a_part_by_the_bits(side: PlantSide) -> None:
    side.write(2, 0, 4711, 0, 0, 0, 8192, 12, 300)
    side.write(16, *(ord("P") << 8 | ord("1"), 0x3700, *[0] * 14))
    order = side.trigger()
    assert (order.plant_id, order.part_id, order.encoder_count) == (4711, "P17", 8192)
    assert (order.recipe, order.deadline_ms, order.trigger_id) == ("cells", 300, "4711-70001")
    assert side.handshake.trigger_state is TriggerState.ASKING
    assert not side.has(StatusBit.TRIGGER_ACK)
    assert not side.has(StatusBit.TRIGGER_READY)
    answer = side.accept(order)
    assert side.has(StatusBit.TRIGGER_ACK | StatusBit.BUSY)
    assert side.value("acquisition_id") == 70_001
    side.control(ENABLED)
    assert side.has(StatusBit.TRIGGER_READY)
    assert not side.has(StatusBit.TRIGGER_ACK)
    side.judge(answer)
    assert side.has(StatusBit.RESULTS_VALID | StatusBit.COMPLETED)
    assert not side.has(StatusBit.BUSY)
    assert (side.value("inspection_id"), side.value("result_trigger_id")) == (70_001, 4711)
    assert (side.value("evaluation"), side.value("reason"), side.value("result_recipe")) == (1, 1, 12)
    assert side.value("pass_key") == 70_001 & 0xFFFF ^ 0xA55A
    assert (side.value("latency"), side.value("margin")) == (312, 4688)
    side.control(ACKNOWLEDGED)
    assert not side.has(StatusBit.RESULTS_VALID)
    assert (side.value("evaluation"), side.value("pass_key"), side.value("inspection_id")) == (0, 0, 0)


def test_a_trigger_counts_from_when_it_can_have_been_written(side: PlantSide) -> None:
    (order,) = side.handshake.write(0, [TRIGGERED], side.now, side.now - 0.3)
    assert order.at == side.now - 0.3


@pytest.mark.parametrize(
    ("evaluation", "shown"),
    [(Evaluation.FAIL, Judgement.FAIL), (Evaluation.UNDECIDABLE, Judgement.UNDECIDABLE)],
)
def test_no_other_evaluation_has_a_pass_key(
    side: PlantSide, evaluation: Evaluation, shown: Judgement
) -> None:
    side.judge(side.taken()[1], evaluation)
    assert (side.value("evaluation"), side.value("pass_key")) == (shown, 0)


def test_the_score_of_the_region_that_decided_is_shown_whichever_came_last(side: PlantSide) -> None:
    order, answer = side.taken()
    above = (Evaluation.FAIL, Reason.ABOVE_THRESHOLD)
    for seq, region, score in ((1, "label", 0.25), (2, "cap", 0.75), (3, "cup", 0.5)):
        seen = {"camera": "top", "region": region, "score": score, "threshold": 0.6}
        view = msgspec.structs.replace(verdict(seq), trigger_id=order.trigger_id, **seen)
        side.handshake.saw_view(view)
    views = [
        ViewVerdict("top", 1, Evaluation.PASS, Reason.WITHIN_THRESHOLD, region="label"),
        ViewVerdict("top", 2, *above, region="cap"),
        ViewVerdict("top", 3, Evaluation.PASS, Reason.WITHIN_THRESHOLD, region="cup"),
    ]
    side.judge(answer, Evaluation.FAIL, views=views)
    assert (side.value("result"), side.value("score")) == (ResultBit.HAS_SCORE, 0.75)


@pytest.mark.parametrize(("latency_ms", "shown"), [(1e308, 0xFFFFFFFF), (-1.0, 0), (0.25, 2)])
def test_a_number_that_does_not_fit_its_register_is_its_limit(
    side: PlantSide, latency_ms: float, shown: int
) -> None:
    side.judge(side.taken()[1], Evaluation.FAIL, latency_ms=latency_ms)
    assert side.value("latency") == shown


def test_the_next_result_is_shown_when_the_acknowledgement_has_fallen(side: PlantSide) -> None:
    answers = [side.taken()[1] for _ in range(2)]
    for answer in answers:
        side.judge(answer)
    assert (side.value("inspection_id"), side.value("results_waiting")) == (70_001, 2)
    side.control(ACKNOWLEDGED)
    assert not side.has(StatusBit.RESULTS_VALID)
    side.control(ENABLED)
    assert side.value("inspection_id") == 70_002


def test_a_verdict_may_overtake_the_acknowledgement(side: PlantSide) -> None:
    order = side.trigger()
    side.judge(PlantSide.accept(PlantSide().online(), order))
    assert not side.has(StatusBit.RESULTS_VALID)
    side.accept(order)
    assert side.says_pass


def test_a_verdict_that_overtakes_belongs_to_its_own_acknowledgement_or_to_none(side: PlantSide) -> None:
    order = side.trigger()
    side.judge(accepted(order, epoch=EPOCH - 1))
    side.accept(order)
    side.passes(0.3)
    assert not side.has(StatusBit.RESULTS_VALID)
    side.passes(0.5)
    assert side.value("reason") == REASON_NUMBERS["no_verdict"]


def test_a_ninth_result_is_lost_and_said_to_be(side: PlantSide) -> None:
    for answer in [side.taken()[1] for _ in range(9)]:
        side.judge(answer)
    assert side.has(StatusBit.OVERRUN)
    assert side.value("results_waiting") == 8
    shown = []
    for _ in range(8):
        shown.append(side.value("inspection_id"))
        side.control(ACKNOWLEDGED)
        side.control(ENABLED)
    assert shown == [*range(70_001, 70_009)]
    assert not side.has(StatusBit.RESULTS_VALID)
    side.control(ENABLED | ControlBit.CLEAR_ERROR)
    assert not side.has(StatusBit.OVERRUN)


def test_a_result_that_comes_while_an_acknowledgement_is_up_waits_for_its_fall(side: PlantSide) -> None:
    answer = side.taken()[1]
    side.control(ACKNOWLEDGED)
    side.judge(answer)
    assert not side.has(StatusBit.RESULTS_VALID)
    side.control(ENABLED)
    assert side.says_pass


# --- what is no pass ----------------------------------------------------------------------------------------


def test_a_pass_after_its_deadline_by_the_gateways_clock_is_none(side: PlantSide) -> None:
    answer = side.taken()[1]
    side.passes(0.6)
    side.judge(answer)
    assert (side.value("evaluation"), side.value("reason")) == (3, REASON_NUMBERS["deadline"])
    assert side.value("result") & 1


def test_no_verdict_in_time_is_a_result_too(side: PlantSide) -> None:
    side.taken()
    side.passes(0.6)
    assert not side.has(StatusBit.RESULTS_VALID)
    side.passes(0.1)
    assert (side.value("evaluation"), side.value("reason")) == (3, REASON_NUMBERS["no_verdict"])


@pytest.mark.parametrize(
    "changes", [{"epoch": EPOCH - 1}, {"triggered_utc_ns": 1}, {"trigger_id": "4711"}, {"late": True}]
)
def test_a_pass_of_another_acknowledgement_or_a_late_one_is_none(side: PlantSide, changes: dict) -> None:
    side.judge(side.taken()[1], **changes)
    side.passes(0.7)
    assert side.value("evaluation") == Judgement.UNDECIDABLE
    assert not side.says_pass


def test_a_pass_that_nobody_fetches_is_taken_back(side: PlantSide) -> None:
    side.judge(side.taken()[1])
    side.passes(1.9)
    assert side.says_pass
    side.passes(0.2)
    assert (side.value("evaluation"), side.value("reason")) == (3, REASON_NUMBERS["not_fetched"])


def test_a_trigger_that_is_taken_back_gets_no_acknowledgement_and_no_result(side: PlantSide) -> None:
    order = side.trigger()
    side.control(ENABLED)
    assert not side.has(StatusBit.TRIGGER_READY)  # the line has not answered yet
    side.control(TRIGGERED)
    assert side.value("error") == refusal("not_finished")
    side.judge(side.accept(order))
    assert not side.has(StatusBit.TRIGGER_ACK)
    assert side.has(StatusBit.MISSED)
    side.passes(1)
    assert not side.has(StatusBit.RESULTS_VALID)
    side.control(ENABLED)
    assert side.has(StatusBit.TRIGGER_READY)


def test_inspection_numbers_never_end_with_a_word_that_a_plant_may_take_for_none() -> None:
    side = PlantSide(first_acquisition=0xFFFF_FFFE).online()
    assert [side.taken()[0].acquisition for _ in range(2)] == [0xFFFF_FFFF, 1]
    side = PlantSide(first_acquisition=0xA559).online()
    assert side.taken()[0].acquisition == 0xA55B


# --- online and offline -------------------------------------------------------------------------------------


def test_before_the_line_is_heard_nothing_is_ready() -> None:
    side = PlantSide()
    side.control(ENABLED)
    assert offline(side) is OfflineReason.LINE
    assert not side.has(StatusBit.TRIGGER_READY)
    side.control(TRIGGERED)
    assert side.has(StatusBit.MISSED | StatusBit.ERROR)
    assert side.value("error") == refusal("not_online")


def test_bits_that_were_up_in_the_first_words_are_no_edges() -> None:
    side = PlantSide().alive()
    assert side.control(TRIGGERED | ControlBit.EXECUTE) == []
    assert not side.has(StatusBit.TRIGGER_READY)
    side.control(ENABLED)
    assert side.has(StatusBit.TRIGGER_READY)


def ends(side: PlantSide, how: str) -> None:
    match how:
        case "silence":
            side.now += 0.51
        case "stops":
            side.handshake.line_seen(None, side.now)
        case "restart":
            side.alive(EPOCH + 1)
        case "set offline":
            side.control(ENABLED | ControlBit.SET_OFFLINE)
            side.control(ENABLED)


@pytest.mark.parametrize("how", ["silence", "stops", "restart", "set offline"])
def test_whenever_online_falls_everything_under_way_is_forgotten(side: PlantSide, how: str) -> None:
    shown, waits = side.taken()[1], side.taken()[1]
    side.judge(shown)
    asked = side.trigger()
    assert side.says_pass
    ends(side, how)
    epoch = EPOCH + (how == "restart")
    side.alive(epoch)
    assert not side.has(StatusBit.RESULTS_VALID)
    assert side.value("acquisition_id") == 0
    side.judge(waits)
    side.judge(side.accept(asked))
    assert not side.has(StatusBit.RESULTS_VALID)
    assert not side.has(StatusBit.TRIGGER_ACK)
    assert not side.has(StatusBit.BUSY)
    assert side.has(StatusBit.ONLINE)


def test_the_plants_heartbeat_must_change() -> None:
    side = PlantSide(plant_seconds=1.0).alive()
    side.write(0, ENABLED, 0)
    assert offline(side) is OfflineReason.PLANT_HEARTBEAT
    side.write(1, 5)
    assert side.has(StatusBit.ONLINE | StatusBit.TRIGGER_READY)
    side.judge(side.taken()[1])
    for _ in range(11):
        side.passes(0.1).write(1, 5)
    assert offline(side) is OfflineReason.PLANT_HEARTBEAT
    assert not side.has(StatusBit.RESULTS_VALID)
    side.write(1, 6)
    assert offline(side) is OfflineReason.NONE
    assert not side.has(StatusBit.RESULTS_VALID)


def test_set_offline(side: PlantSide) -> None:
    side.control(ENABLED | ControlBit.SET_OFFLINE)
    assert offline(side) is OfflineReason.SET_OFFLINE
    side.control(TRIGGERED | ControlBit.SET_OFFLINE)
    assert side.value("error") == refusal("not_online")


def test_the_heartbeat_counts_while_the_line_is_alive(side: PlantSide) -> None:
    before = side.value("heartbeat")
    side.passes(2.0)
    assert 6 <= side.value("heartbeat") - before <= 10
    side.now += 1
    still = side.value("heartbeat")
    side.now += 5
    assert side.value("heartbeat") == still


def test_the_lines_bits_are_shown(side: PlantSide) -> None:
    side.handshake.line_seen(LineSeen(EPOCH, LineBit.GOLDEN_DUE | LineBit.MAINTENANCE), side.now)
    assert side.value("line") == LineBit.GOLDEN_DUE | LineBit.MAINTENANCE


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_refusal_of_the_line_is_shown_until_the_bit_falls(side: PlantSide) -> None:
    order = side.trigger()
    side.handshake.refused(order, "not_ready", side.now)
    assert side.has(StatusBit.MISSED | StatusBit.ERROR)
    assert side.value("error") == refusal("not_ready")
    side.control(ENABLED)
    assert not side.has(StatusBit.MISSED)
    assert side.has(StatusBit.TRIGGER_READY | StatusBit.ERROR)
    side.control(ENABLED | ControlBit.CLEAR_ERROR)
    assert not side.has(StatusBit.ERROR)
    assert side.value("error") == 0


@pytest.mark.parametrize(
    ("first", "words", "reason"),
    [(8, [13], "recipe_number"), (16, [0x0A31], "part_id"), (16, [0x31E4], "part_id")],
)
def test_what_the_plant_gives_must_make_sense(side: PlantSide, first: int, words: list, reason: str) -> None:
    side.write(first, *words)
    assert side.control(TRIGGERED) == [RefusedPart()]  # its part may be there
    assert side.value("error") == refusal(reason)


def test_triggers_must_be_enabled(side: PlantSide) -> None:
    side.control(0)
    assert not side.has(StatusBit.TRIGGER_READY)
    assert side.control(ControlBit.TRIGGER) == [RefusedPart()]
    assert side.value("error") == refusal("not_enabled")


# --- the fast hand-shake ------------------------------------------------------------------------------------


def test_a_part_by_numbers(side: PlantSide) -> None:
    assert side.write(32, 7, 0) == []  # the first there is: since when nobody knows
    assert (side.value("answered_number"), side.value("answer")) == (7, 2)
    (order,) = side.write(32, 8)
    assert not side.has(StatusBit.TRIGGER_READY)
    answer = side.accept(order)
    assert (side.value("answered_number"), side.value("answer")) == (8, 1)
    assert side.value("acquisition_id") == order.acquisition
    assert side.write(32, 8) == []  # written again, as after a connection that was lost
    side.judge(answer)
    assert side.says_pass
    assert side.value("result_number") == 8
    side.write(33, 1)
    assert side.says_pass
    side.write(33, order.acquisition & 0xFFFF)
    assert not side.has(StatusBit.RESULTS_VALID)


def test_a_number_that_is_refused_is_answered(side: PlantSide) -> None:
    side.write(32, 0)
    (order,) = side.write(32, 1)
    side.handshake.refused(order, "no_answer", side.now)
    assert (side.value("answered_number"), side.value("answer")) == (1, 2)
    assert side.value("error") == refusal("no_answer")


@pytest.mark.parametrize("is_by_bit", [True, False])
def test_a_trigger_that_another_overtakes_gets_no_acknowledgement_and_no_result(
    side: PlantSide, is_by_bit: bool
) -> None:
    side.write(32, 0)
    (order,) = side.control(TRIGGERED) if is_by_bit else side.write(32, 1)
    assert side.write(32, 2) == [RefusedPart()]
    assert side.has(StatusBit.MISSED) is is_by_bit
    answer = side.accept(order)
    assert (side.value("answered_number"), side.value("answer")) == (2, 2)
    assert side.value("error") == refusal("not_finished")
    assert not side.has(StatusBit.TRIGGER_ACK)
    side.judge(answer)
    side.passes(1)
    assert not side.has(StatusBit.RESULTS_VALID)


def test_an_acquisition_is_of_the_hand_shake_that_shows_it(side: PlantSide) -> None:
    side.write(32, 0)
    by_bit = side.trigger()
    side.accept(by_bit)
    assert side.write(32, 1) == [RefusedPart()]  # TriggerAck is still up
    assert (side.value("answered_number"), side.value("answer")) == (1, 2)
    assert side.has(StatusBit.TRIGGER_ACK)
    assert (side.value("error"), side.value("acquisition_id")) == (
        refusal("not_finished"),
        by_bit.acquisition,
    )
    side.control(ENABLED)
    (by_number,) = side.write(32, 2)
    side.accept(by_number)
    assert (side.value("answered_number"), side.value("acquisition_id")) == (2, by_number.acquisition)
    side.accept(side.trigger())
    assert (side.value("answered_number"), side.value("acquisition_id")) == (0, by_number.acquisition + 1)


def test_the_first_number_after_the_plant_was_lost_may_be_of_a_part_that_is_there(side: PlantSide) -> None:
    side.write(32, 0)
    side.accept(*side.write(32, 1))
    side.handshake.plant_lost(side.now)
    assert side.write(32, 1) == []
    side.handshake.plant_lost(side.now)
    assert side.write(32, 2) == [RefusedPart()]


def test_a_first_number_that_may_be_of_a_part_that_is_there_overtakes_the_trigger_that_is_asked(
    side: PlantSide,
) -> None:
    by_bit = side.trigger()
    assert side.write(32, 1) == [RefusedPart()]
    answer = side.accept(by_bit)
    assert not side.has(StatusBit.TRIGGER_ACK)
    side.judge(answer)
    assert not side.has(StatusBit.RESULTS_VALID)


def test_a_number_that_comes_again_shows_nothing_of_the_part_that_had_it(side: PlantSide) -> None:
    side.write(32, 0, 0)
    judged, under_way = (side.accept(*side.write(32, number)) for number in (1, 2))
    side.judge(judged)
    side.write(32, 0)  # as a program that begins anew
    (again,) = side.write(32, 1)
    names = ("answered_number", "answer", "acquisition_id", "result_number", "evaluation")
    assert [side.value(name) for name in names] == [0] * 5
    answer = side.accept(again)
    assert (side.value("answered_number"), side.value("answer")) == (1, 1)
    side.accept(*side.write(32, 2))
    side.judge(under_way)
    assert not side.has(StatusBit.RESULTS_VALID)
    side.judge(answer)
    assert (side.value("inspection_id"), side.says_pass) == (again.acquisition, True)


def test_the_next_result_by_numbers_is_shown_at_once(side: PlantSide) -> None:
    side.write(32, 0, 0)
    orders = []
    for number in (1, 2):
        (order,) = side.write(32, number)
        side.judge(side.accept(order))
        orders.append(order)
    side.write(33, orders[0].acquisition & 0xFFFF)
    assert side.value("inspection_id") == orders[1].acquisition


# --- the map ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "count"), [(64, 1), (99, 2), (163, 2), (0, 65), (50, 60), (5000, 1)])
def test_nothing_lies_beyond_the_blocks(side: PlantSide, first: int, count: int) -> None:
    with pytest.raises(RegisterError):
        side.handshake.read(first, count, side.now)
    with pytest.raises(RegisterError):
        side.handshake.write(first, [0] * count, side.now)


def test_the_status_block_cannot_be_written(side: PlantSide) -> None:
    with pytest.raises(RegisterError):
        side.write(120, 1, 0xA55A)
