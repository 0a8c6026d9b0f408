"""Commands of a PLC: one at a time, and the end of one is never taken for the end of another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.plant_side import ENABLED, EPOCH, PlantSide

from inspectd.gateways.command_cycle import _BITS, CommandState, RecipeCommand
from inspectd.gateways.registers import ControlBit, LineBit, StatusBit
from inspectd.wire.numbers import COMMAND_REFUSAL_NUMBERS

UP = ENABLED | ControlBit.EXECUTE


@pytest.fixture
def side() -> PlantSide:
    side = PlantSide().online()
    side.write(10, 1, 12)
    return side


def test_a_command_that_is_done(side: PlantSide) -> None:
    assert side.control(UP) == [RecipeCommand(1, 12)]
    assert side.has(StatusBit.EXECUTING)
    side.handshake.command_ended(None)
    side.handshake.recipe_in_force("cells", 12)
    assert side.has(StatusBit.COMMAND_COMPLETED)
    assert not side.has(StatusBit.EXECUTING)
    assert (side.value("command_result"), side.value("active_recipe")) == (0, 12)
    side.control(ENABLED)
    assert not side.has(StatusBit.COMMAND_COMPLETED)


def test_a_command_that_fails(side: PlantSide) -> None:
    side.control(UP)
    side.handshake.command_ended("not_loaded")
    assert side.has(StatusBit.COMMAND_FAILED)
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["not_loaded"]
    side.control(ENABLED)
    assert not side.has(StatusBit.COMMAND_FAILED)
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["not_loaded"]


def test_the_end_of_a_command_that_was_taken_back_completes_no_other(side: PlantSide) -> None:
    side.control(UP)
    side.control(ENABLED)
    side.write(10, 1, 13)
    assert side.control(UP) == []
    side.handshake.command_ended(None)
    assert side.has(StatusBit.COMMAND_FAILED)
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["busy"]


def test_a_command_that_was_taken_back_ends_unseen(side: PlantSide) -> None:
    side.control(UP)
    side.control(ENABLED)
    side.handshake.command_ended(None)
    assert side.handshake.command.state is CommandState.IDLE
    assert not side.value("status") & (StatusBit.COMMAND_COMPLETED | StatusBit.COMMAND_FAILED)


BUSY = COMMAND_REFUSAL_NUMBERS["busy"]


def _shown(side: PlantSide) -> CommandState:
    """What the plant takes a command for, by the bits."""
    return next(state for state, bits in _BITS.items() if bits == side.value("status") & sum(_BITS.values()))


@pytest.mark.parametrize("is_done_meanwhile", [True, False])
@pytest.mark.parametrize("is_up", [True, False])
def test_a_connection_to_the_plant_that_was_lost_takes_its_command_back(
    side: PlantSide, is_up: bool, is_done_meanwhile: bool
) -> None:
    """What the bit did meanwhile nobody saw: the plant may have asked for another recipe."""
    side.control(UP)
    side.handshake.plant_lost(side.now)
    if is_done_meanwhile:
        side.handshake.command_ended(None)
    assert side.write(0, UP if is_up else ENABLED) == []
    if not is_done_meanwhile:
        side.handshake.command_ended(None)
    assert _shown(side) is (CommandState.FAILED if is_up else CommandState.IDLE)
    assert side.value("command_result") == BUSY * is_up
    side.control(ENABLED)
    side.write(10, 1, 13)
    assert side.control(UP) == [RecipeCommand(1, 13)]
    side.handshake.command_ended(None)
    assert _shown(side) is CommandState.COMPLETED


@pytest.mark.parametrize(("is_up", "result"), [(True, BUSY), (False, 0)])
def test_a_command_that_was_completed_before_the_connection_was_lost_is_so_no_more_after_it(
    side: PlantSide, is_up: bool, result: int
) -> None:
    side.control(UP)
    side.handshake.command_ended(None)
    side.handshake.plant_lost(side.now)
    side.control(UP if is_up else ENABLED)
    assert _shown(side) is (CommandState.FAILED if is_up else CommandState.IDLE)
    assert side.value("command_result") == result


def test_what_is_asked_for_again_while_the_command_from_before_an_outage_executes_is_not_completed_by_it(
    side: PlantSide,
) -> None:
    side.control(UP)
    side.handshake.plant_lost(side.now)
    side.control(ENABLED)
    side.write(10, 1, 13)
    assert side.control(UP) == []
    side.handshake.command_ended(None)
    assert (_shown(side), side.value("command_result")) == (CommandState.FAILED, BUSY)


@pytest.mark.parametrize("line_is_away", [True, False])
def test_a_plant_whose_heartbeat_stood_still_has_taken_its_command_back(line_is_away: bool) -> None:
    side = PlantSide(plant_seconds=1.0).alive()
    side.write(0, UP & ~ControlBit.EXECUTE, 1)
    side.write(10, 1, 12)
    assert side.control(UP) == [RecipeCommand(1, 12)]
    if line_is_away:
        side.handshake.line_seen(None, side.now)
    side.now += 1.1
    side.write(0, UP, 2)
    side.alive()
    side.handshake.command_ended(None)
    assert (_shown(side), side.value("command_result")) == (CommandState.FAILED, BUSY)


@pytest.mark.parametrize("word", [10, 11])
@pytest.mark.parametrize("is_done_before", [True, False])
def test_what_a_plant_changes_under_a_command_was_never_begun(
    side: PlantSide, is_done_before: bool, word: int
) -> None:
    """As after its power came back, when it asks for another recipe by its first words."""
    side.control(UP)
    if is_done_before:
        side.handshake.command_ended(None)
    side.write(word, 2)
    if not is_done_before:
        side.handshake.command_ended(None)
    assert (_shown(side), side.value("command_result")) == (CommandState.FAILED, BUSY)


def test_words_that_change_with_the_fall_of_a_command_leave_its_result(side: PlantSide) -> None:
    side.control(UP)
    side.handshake.command_ended(None)
    side.write(0, ENABLED, *[0] * 11)
    assert (_shown(side), side.value("command_result")) == (CommandState.IDLE, 0)


def test_a_command_that_was_up_before_the_gateway_is_said_not_to_be_begun() -> None:
    side = PlantSide().alive()
    assert side.write(0, UP, *[0] * 9, 1, 12) == []
    assert (_shown(side), side.value("command_result")) == (CommandState.FAILED, BUSY)


@pytest.mark.parametrize("number", [0, 1000])
def test_recipes_have_numbers_from_1_to_999(side: PlantSide, number: int) -> None:
    side.write(11, number)
    assert side.control(UP) == []
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["recipe_number"]


def test_a_line_that_is_away_is_asked_nothing() -> None:
    side = PlantSide()
    side.write(10, 1, 12)
    side.control(0)
    assert side.control(ControlBit.EXECUTE) == []
    assert side.value("command_result") == COMMAND_REFUSAL_NUMBERS["not_alive"]


def test_recipes_change_while_the_plant_keeps_the_line_offline(side: PlantSide) -> None:
    side.control(ControlBit.SET_OFFLINE)
    assert side.control(ControlBit.SET_OFFLINE | ControlBit.EXECUTE) == [RecipeCommand(1, 12)]


@pytest.fixture
def announced() -> PlantSide:
    """A golden part is announced."""
    side = PlantSide(golden_parts={3: "crack-1", 4: "good-1"}).online()
    side.handshake.recipe_in_force("cells@1", 12)
    return _announce(side)


def _announce(side: PlantSide, part: int = 3) -> PlantSide:
    bits = side.handshake.read(0, 1, side.now)[0] & ~ControlBit.EXECUTE
    side.write(10, 4, part)
    assert side.control(bits | ControlBit.EXECUTE) == []
    assert side.has(StatusBit.COMMAND_COMPLETED)
    side.control(bits)
    assert side.value("line") & LineBit.GOLDEN_NEXT
    return side


def test_an_announced_golden_part_is_the_next_one_that_the_line_takes(announced: PlantSide) -> None:
    side = announced
    refused = side.trigger()
    assert refused.request.golden == "crack-1"
    side.handshake.refused(refused, "overload", side.now)
    side.control(ENABLED)
    side.accept(side.trigger())
    side.control(ENABLED)
    assert side.trigger().request.golden is None


@pytest.mark.parametrize("part", [3, 4])
@pytest.mark.parametrize("refused", [None, "golden"])
def test_a_golden_part_announced_before_the_line_answered_the_one_before_is_the_next(
    announced: PlantSide, refused: str | None, part: int
) -> None:
    side = announced
    before = side.trigger()
    _announce(side, part)
    if refused is None:
        side.accept(before)
    else:
        side.handshake.refused(before, refused, side.now)
    side.control(ENABLED)
    assert side.value("line") & LineBit.GOLDEN_NEXT
    assert side.trigger().request.golden == {3: "crack-1", 4: "good-1"}[part]


def _line_begins_anew(side: PlantSide) -> None:
    side.alive(EPOCH + 1)


def _line_is_silent(side: PlantSide) -> None:
    side.now += 1.0
    side.alive()


def _line_begins_anew_while_kept_offline(side: PlantSide) -> None:
    side.control(ControlBit.SET_OFFLINE)
    _announce(side)
    side.handshake.line_seen(None, side.now)
    side.alive(EPOCH + 1)
    side.control(ENABLED)


def _plant_is_lost(side: PlantSide) -> None:
    side.handshake.plant_lost(side.now)
    side.control(ENABLED)


def _plant_goes_offline(side: PlantSide) -> None:
    side.control(ENABLED | ControlBit.SET_OFFLINE)
    side.control(ENABLED)


def _recipe_changes(side: PlantSide) -> None:
    side.handshake.recipe_in_force("glass@1", 13)


def _plant_changes_the_recipe(side: PlantSide) -> None:
    side.write(10, 1, 12)
    side.control(ENABLED | ControlBit.EXECUTE)
    side.handshake.command_ended(None)
    side.control(ENABLED)


def _line_has_no_such_part(side: PlantSide) -> None:
    side.handshake.refused(side.trigger(), "golden", side.now)
    assert side.value("error") == 27
    side.control(ENABLED)


@pytest.mark.parametrize(
    "happens",
    [
        _line_begins_anew, _line_is_silent, _line_begins_anew_while_kept_offline, _plant_is_lost,
        _plant_goes_offline, _recipe_changes, _plant_changes_the_recipe, _line_has_no_such_part,
    ],
)  # fmt: skip
def test_an_announced_golden_part_is_not_the_next_one_after_this(
    announced: PlantSide, happens: Callable[[PlantSide], None]
) -> None:
    happens(announced)
    assert not announced.value("line") & LineBit.GOLDEN_NEXT
    assert announced.trigger().request.golden is None


def test_what_is_announced_after_a_change_of_recipe_outlives_the_news_of_it(announced: PlantSide) -> None:
    _plant_changes_the_recipe(announced)
    _announce(announced)
    announced.handshake.recipe_in_force("cells@2", 12)
    assert announced.trigger().request.golden == "crack-1"
