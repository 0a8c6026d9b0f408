"""What is said of a stream on the servers."""

from __future__ import annotations

from nats.js import api

from inspectd.fleet.streams import replicas_behind

SECOND_NS = 1_000_000_000


def info(**peer: object) -> api.StreamInfo:
    """Of a stream that one more server keeps."""
    given = {"name": "nats2", "current": False, "offline": False, "active": SECOND_NS, "lag": 0, **peer}
    return api.StreamInfo.from_response(
        {
            "config": {"name": "V+p+l"},
            "state": {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0, "consumer_count": 0},
            "cluster": {"leader": "nats1", "replicas": [given]},
        }
    )


def test_a_server_that_lacks_what_has_just_come_is_not_behind() -> None:
    assert replicas_behind(info(current=True)) == []
    assert replicas_behind(info(lag=1)) == []
    assert replicas_behind(info(lag=200)) == []


def test_one_that_is_away_silent_or_far_behind_is() -> None:
    assert replicas_behind(info(lag=201)) == ["nats2 lacks 201 messages"]
    assert replicas_behind(info(lag=1, active=11 * SECOND_NS)) == ["nats2 lacks 1 messages"]
    assert replicas_behind(info(current=True, offline=True)) == ["nats2 is away"]
