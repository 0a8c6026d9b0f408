"""A client's answers come in order, whenever it has room for them."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from inspectd.publish.door.answers import Answers
from inspectd.publish.door.messages import Delivered, Reply
from inspectd.publish.door.sockets import Delivery

SECOND_NS = 1_000_000_000


class Clients:
    """Clients that take an answer or not, and the door's clock.

    Attributes:
        room: of each, so many answers it takes.
        taken: of each, in order.
        told: what became of those with tickets.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.room = {b"a": 0, b"b": 0}
        self.taken: dict[bytes, list[bytes]] = {b"a": [], b"b": []}
        self.told: list[Delivered] = []
        self.answers = Answers(self._take, self.told.append, lambda: self.now_ns)

    def _take(self, reply: Reply) -> Delivery:
        if reply.client not in self.room:
            return Delivery.GONE
        if self.room[reply.client] == 0:
            return Delivery.FULL
        self.room[reply.client] -= 1
        self.taken[reply.client].append(reply.parts[0])
        return Delivery.SENT


def reply(client: bytes, number: int, ticket: int | None = None) -> Reply:
    return Reply("sync", client, [b"%d" % number], ticket)


@example([("give", b"a"), ("room", b"a"), ("give", b"a")])
@given(st.lists(st.tuples(st.sampled_from(["give", "again", "room"]), st.sampled_from([b"a", b"b"]))))
def test_no_answer_overtakes_one_of_the_same_client(steps: list[tuple[str, bytes]]) -> None:
    clients, numbers, given_to = Clients(), itertools.count(), {b"a": [], b"b": []}
    for step, client in steps:
        if step == "room":
            clients.room[client] += 1
        elif step == "again":
            clients.answers.give_again()
        else:
            number = next(numbers)
            given_to[client].append(b"%d" % number)
            clients.answers.give(reply(client, number, number if number % 2 else None))
    for client in clients.room:
        clients.room[client] = len(steps)
    clients.answers.give_again()
    assert clients.taken == given_to
    assert not clients.answers
    assert sorted(each.ticket for each in clients.told) == list(range(1, next(numbers), 2))
    assert all(each.is_sent for each in clients.told)


def test_who_does_not_read_costs_no_other_anything_and_loses_what_it_left_unread() -> None:
    clients = Clients()
    clients.room[b"b"] = 10
    for number in range(200):
        clients.answers.give(reply(b"a", number))
    clients.answers.give(reply(b"a", 200, ticket=7))  # a bounded number of these comes
    clients.answers.give(reply(b"b", 0))
    assert clients.taken[b"b"] == [b"0"]
    clients.now_ns = SECOND_NS
    clients.room[b"a"] = 1
    clients.answers.give_again()
    assert (clients.taken[b"a"], clients.told) == ([b"0"], [])
    clients.now_ns = 3 * SECOND_NS
    clients.answers.give_again()
    assert (clients.told, bool(clients.answers)) == ([Delivered(7, is_sent=False)], False)
    del clients.room[b"a"]
    clients.answers.give(reply(b"a", 201, ticket=8))
    assert clients.told[-1] == Delivered(8, is_sent=False)
