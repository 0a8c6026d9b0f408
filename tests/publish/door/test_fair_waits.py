"""How long a message may have waited: one turn of all clients, if its own sender does not pile them up."""

from __future__ import annotations

from inspectd.publish.door.fair_waits import FairWaits


def test_what_comes_after_the_queue_was_empty_waited_no_longer_than_that():
    waits = FairWaits(0)
    assert waits.taken(b"a", 103, 1, 100) == 100
    assert waits.taken(b"a", 104, 1, 100) == 100
    assert waits.taken(b"a", 109, 1, 104) == 104


def test_beside_a_flood_an_honest_client_waited_a_round_at_most():
    waits = FairWaits(0)
    noisy = [b"n%d" % n for n in range(10)]
    now_ns = 0
    for _ in range(50):
        for client in noisy:
            now_ns += 1
            waits.taken(client, now_ns, 11, 0)
    assert now_ns + 1 - waits.taken(b"honest", now_ns + 1, 11, 0) == 11
    for client in noisy * 2:
        now_ns += 1
        flooders = now_ns - waits.taken(client, now_ns, 11, 0)
    assert flooders > 400, "those who pile messages up may have sent them long ago"
    assert now_ns + 1 - waits.taken(b"honest", now_ns + 1, 11, 0) == 11


def test_a_second_message_right_behind_the_first_may_have_come_with_it():
    waits = FairWaits(0)
    waits.taken(b"a", 10, 2, 0)
    waits.taken(b"b", 11, 2, 0)
    assert waits.taken(b"a", 12, 2, 0) == 0


def test_until_a_round_is_through_the_beginning_counts():
    waits = FairWaits(0)
    assert waits.taken(b"a", 50, 10, 0) == 0


def test_clients_that_sent_and_left_are_still_read_in_their_turn():
    waits = FairWaits(0)
    for number in range(500):
        waits.taken(b"gone %d" % number, 100 + number, 1, 100)
    assert waits.taken(b"honest", 700, 1, 100) == 100
