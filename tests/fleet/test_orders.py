"""Orders: which are followed, and which are refused, whatever was done to them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from support.orders import HOUR_NS, NOW_NS, an_order, people_with_keys

from inspectd.errors import InputError, UnavailableError
from inspectd.fleet.agent.metrics import AgentMetrics
from inspectd.fleet.agent.order import (
    FleetOrder,
    Refusal,
    RefusedOrderError,
    SignedOrder,
    Wave,
    canonical,
    decode_order,
    decode_signed,
    refuse_old,
    refuse_other_line,
)
from inspectd.fleet.agent.publisher import told
from inspectd.fleet.agent.settings import AgentConfig, AgentLine, Signer
from inspectd.fleet.agent.signing import new_signer, problems_of_people, sign, verified
from inspectd.fleet.agent.state import NewestTold, StateFolder, Told
from inspectd.fleet.agent.work import OrderBook


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Secret files and public keys of anna, otto and eve; eve is trusted nowhere."""
    return people_with_keys(tmp_path_factory.mktemp("people"), "anna", "otto", "eve")


def trusted(people) -> dict[str, str]:
    return {name: people[name][1] for name in ("anna", "otto")}


def signed_by(people, *names: str, order: FleetOrder | None = None) -> SignedOrder:
    signed = SignedOrder(canonical(order or an_order()))
    for name in names:
        signed = sign(signed, name, people[name][0])
    return signed


def refused(signed: SignedOrder, people) -> Refusal:
    with pytest.raises(RefusedOrderError) as raised:
        verified(signed, trusted(people))
    return raised.value.refusal


def test_two_people_are_needed(people) -> None:
    order, by = verified(signed_by(people, "anna", "otto"), trusted(people))
    assert (order, by) == (an_order(), ["anna", "otto"])
    for names in ((), ("anna",), ("anna", "eve"), ("anna", "anna")):
        assert refused(signed_by(people, *names), people) is Refusal.SIGNATURES


def test_one_signature_twice_or_under_two_names_is_one(people) -> None:
    one = signed_by(people, "anna").signatures[0]
    text = canonical(an_order())
    for name in ("anna", "otto"):
        twice = SignedOrder(text, (one, msgspec.structs.replace(one, name=name)))
        assert refused(twice, people) is Refusal.SIGNATURES


def test_nothing_of_the_text_can_be_changed(people) -> None:
    signed = signed_by(people, "anna", "otto")
    other = canonical(msgspec.structs.replace(an_order(), serial=8))
    assert refused(msgspec.structs.replace(signed, text=other), people) is Refusal.SIGNATURES
    assert refused(msgspec.structs.replace(signed, text=f"{signed.text} "), people) is Refusal.SIGNATURES


def test_what_is_not_written_as_orders_are_is_refused_though_two_people_signed(people) -> None:
    with pytest.raises(RefusedOrderError, match="canonical"):
        decode_order(f"{canonical(an_order())} ")
    for order in (
        an_order(waves=(Wave(lines=("line1",)), Wave(lines=("line1",)))),
        an_order(archive_bytes=5 << 20),
    ):
        with pytest.raises(RefusedOrderError, match=r"twice|chunks"):
            signed_by(people, "anna", order=order)


@given(st.binary(max_size=300))
def test_no_bytes_are_an_order(data: bytes) -> None:
    with pytest.raises(RefusedOrderError) as raised:
        decode_signed(data)
    assert raised.value.refusal is Refusal.MALFORMED


@pytest.mark.parametrize("here", [{"plant": "other"}, {"line": "line9"}])
def test_an_order_for_elsewhere_is_refused(here) -> None:
    refuse_other_line(an_order(), plant="test", line="line1")
    with pytest.raises(RefusedOrderError) as raised:
        refuse_other_line(an_order(), **{"plant": "test", "line": "line1", **here})
    assert raised.value.refusal is Refusal.OTHER_LINE


@pytest.mark.parametrize(
    ("now", "refusal"),
    [
        ({"last_serial": 7}, Refusal.OLD_SERIAL),
        ({"last_serial": 8}, Refusal.OLD_SERIAL),
        ({"utc_ns": NOW_NS + 2 * HOUR_NS}, Refusal.TOO_LATE),
    ],
)
def test_an_order_out_of_time_is_refused(now, refusal) -> None:
    refuse_old(an_order(), last_serial=6, utc_ns=NOW_NS)
    with pytest.raises(RefusedOrderError) as raised:
        refuse_old(an_order(), **{"last_serial": 6, "utc_ns": NOW_NS, **now})
    assert raised.value.refusal is refusal


@pytest.mark.parametrize("why", ["a\x00b", "one\ntwo", "\u202e"])
def test_a_reason_that_does_not_print_is_refused(people, why) -> None:
    """No program can be given a NUL, and no store takes the others: the line's agent would end, or refuse."""
    with pytest.raises(RefusedOrderError, match="do not print"):
        signed_by(people, "anna", order=an_order(why=why))


def test_the_list_of_people_has_two_names_and_two_keys(people) -> None:
    anna, otto = people["anna"][1], people["otto"][1]
    assert problems_of_people([("anna", anna), ("otto", otto)]) == []
    assert "expected 2 or more" in problems_of_people([("anna", anna)])[0]
    assert "same key" in problems_of_people([("anna", anna), ("otto", anna)])[0]
    assert "twice" in problems_of_people([("anna", anna), ("anna", otto)])[0]


def test_a_key_that_is_none_is_said(tmp_path, people) -> None:
    with pytest.raises(InputError, match="never overwritten"):
        new_signer(people["anna"][0].with_suffix(""))
    wrong = tmp_path / "wrong"
    wrong.write_text("SUAM\n")
    wrong.chmod(0o600)
    with pytest.raises(InputError, match="holds no signer's key"):
        sign(SignedOrder(canonical(an_order())), "anna", wrong)
    wrong.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        sign(SignedOrder(canonical(an_order())), "anna", wrong)


@pytest.fixture
def make_book(people, tmp_path):
    """Makes the book of line1's agent, whose folder is the test's."""

    def make(clock_ns: Callable[[], int], registry: CollectorRegistry) -> OrderBook:
        signers = tuple(Signer(name=name, key=key) for name, key in trusted(people).items())
        settings = AgentConfig(line=AgentLine(plant="test", name="line1"), signers=signers)
        return OrderBook(settings, StateFolder(str(tmp_path)), AgentMetrics(registry), clock_ns)

    return make


def entry(people, serial: int) -> bytes:
    return msgspec.json.encode(signed_by(people, "anna", "otto", order=an_order(serial=serial)))


def test_an_order_that_came_too_late_by_a_wrong_clock_is_accepted_once_it_is_right(people, make_book) -> None:
    registry, now_ns = CollectorRegistry(), NOW_NS + 40 * 365 * 24 * HOUR_NS
    book = make_book(lambda: now_ns, registry)
    for _ in range(3):
        assert not book.take(entry(people, 7), Told(1, 1))
        assert "came after its time" in book.refusal
    assert registry.get_sample_value("inspectd_fleet_refused_total", {"why": "too_late"}) == 1
    now_ns = NOW_NS + 1
    assert book.take(entry(people, 7), Told(1, 1))
    assert (book.refusal, book.kept.serial) == ("", 7)


def test_an_order_that_was_given_up_stays_so_until_it_is_told_again(people, tmp_path, make_book) -> None:
    now_ns, order = NOW_NS + 1, entry(people, 7)

    def started() -> OrderBook:
        return make_book(lambda: now_ns, CollectorRegistry())

    book, damaged = started(), RefusedOrderError(Refusal.WRONG_HASH, "names what is damaged")
    assert book.take(order, Told(1, 1))
    full = tmp_path / "accepted.json.new"
    full.mkdir()  # so that the file cannot be written
    with pytest.raises(UnavailableError):
        book.give_up(book.order, damaged)
    assert book.order is not None, "after a new start it would be carried out"
    full.rmdir()
    book.give_up(book.order, damaged)
    for started_again in (book, started()):
        assert not started_again.take(order, Told(1, 1))
        assert started_again.order is None
        assert started_again.refusal.endswith("names what is damaged")
    assert book.take(order, Told(2, 2)), "what was in the way is mended"
    assert (book.order, book.refusal) == (an_order(), "")
    assert started().order == an_order()
    book.give_up(book.order, damaged)
    now_ns = NOW_NS + 2 * HOUR_NS
    assert not started().take(order, Told(2, 2))
    late = started()
    assert not late.take(order, Told(3, 3))
    assert (late.order, "came after its time" in late.refusal) == (None, True)


@pytest.mark.parametrize(
    ("before", "again", "is_tried"),
    [
        (Told(5, 500), Told(5, 500), False),
        (Told(5, 500), Told(6, 600), True),
        (Told(5, 500), Told(1, 600), True),  # the stream was deleted and made anew: it counts from 1 again
        (Told(5, 500), Told(5, 600), True),
        (Told(5, 500), Told(4, 400), False),  # of a server that lags, or out of a backup
        (Told(5, 500), Told(6, 400), True),  # the clock of the servers was ahead
        (Told(5), Told(6, 600), True),
    ],
)
def test_an_entry_is_told_again_by_its_number_or_by_its_time(
    people, make_book, before, again, is_tried
) -> None:
    order = entry(people, 7)
    book = make_book(lambda: NOW_NS + 1, CollectorRegistry())
    assert book.take(order, before)
    book.give_up(book.order, RefusedOrderError(Refusal.WRONG_HASH, "names what is damaged"))
    started_again = make_book(lambda: NOW_NS + 1, CollectorRegistry())
    for each in (book, started_again):
        assert not each.take(order, before)
    for each in (book, started_again):
        assert each.take(order, again) is is_tried
        assert (each.order is not None) is is_tried


@pytest.mark.parametrize(
    ("told", "newest"),
    [
        ((Told(5, 500), Told(6, 600), Told(6, 600)), (True, True, True)),
        ((Told(5, 500), Told(1, 600), Told(1, 600)), (True, True, True)),  # the stream was made anew
        ((Told(6, 600), Told(5, 500), Told(6, 600)), (True, False, True)),  # of a server that lags
        ((Told(6, 600), *[Told(5, 500)] * 4), (True, False, False, True, True)),  # it was put back
    ],
)
def test_what_is_told_by_a_stream_that_was_made_anew_is_the_newest_at_once(told, newest) -> None:
    known = NewestTold()
    assert tuple(map(known.take, told)) == newest


def test_an_order_that_cannot_be_kept_is_waited_for_only_while_it_is_the_newest(
    people, tmp_path, make_book
) -> None:
    first, second = entry(people, 7), entry(people, 8)
    book = make_book(lambda: NOW_NS + 1, CollectorRegistry())
    assert book.take(first, Told(1, 1))
    accepted = tmp_path / "accepted.json"
    accepted.unlink()
    accepted.mkdir()  # nothing can be written there, as on a full disk
    assert not book.take(second, Told(2, 2))
    assert "cannot be accepted yet: " in book.not_kept
    assert not book.take(first, Told(1, 1))
    assert (book.not_kept, book.kept.serial) == ("", 7)
    assert not book.take(second, Told(2, 2))
    accepted.rmdir()
    assert book.take(second, Told(2, 2))
    assert (book.not_kept, book.kept.serial) == ("", 8)


def test_an_order_that_two_people_did_not_sign_stands_in_no_others_way() -> None:
    forged = SignedOrder(canonical(an_order(serial=2**53)), ())
    honest = SignedOrder(canonical(an_order(serial=7)), ())
    assert told(msgspec.json.encode(forged), honest, 7) == (False, None)
    assert told(msgspec.json.encode(honest), honest, 7) == (True, None)


def test_what_is_remembered_is_readable_for_an_agent_that_gives_no_order_up(
    people, make_book, tmp_path
) -> None:
    book = make_book(lambda: NOW_NS + 1, CollectorRegistry())
    assert book.take(entry(people, 7), Told(1, 1))
    (kept,) = tmp_path.glob("accepted.json")
    assert set(msgspec.json.decode(kept.read_bytes())) == {"schema", "serial", "order"}
