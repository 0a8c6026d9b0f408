import pytest

from inspectd.capture.messages import Stop
from inspectd.ipc.channel import Channel, ChannelMessageError
from inspectd.ipc.messages import AttachRing, DetachRing, RingReady
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.ring_client import RingClient


@pytest.fixture
def ends():
    """The channel of the main process, and that of the child."""
    mine, theirs = Channel.pair()
    pair = Channel(mine, Stop), Channel(theirs, Stop | AttachRing | DetachRing)
    yield pair
    for end in pair:
        end.close()


@pytest.fixture
def client():
    ring = FrameRing.create(3, 1, 1)
    yield RingClient(Stop(), lambda: [("cam", ring)])
    ring.close()


def test_a_child_begins_with_its_settings_and_the_rings_there_are(client, ends):
    client.started(ends[0])
    assert ends[1].receive() == (Stop(), [])
    record, fds = ends[1].receive()
    assert record == AttachRing("cam", 3)
    FrameRing.attach(*fds).close()
    client.detach("cam", 3)
    assert ends[1].receive() == (DetachRing("cam", 3), [])


def test_a_child_that_does_not_take_what_it_needs_is_stuck_until_the_next(client, ends):
    client.started(ends[0])
    while client._post(Stop(), may_be_skipped=True):
        pass
    assert client.stuck is None
    client.detach("cam", 3)
    assert client.stuck is not None
    mine, theirs = Channel.pair()
    other = Channel(mine, Stop)
    client.started(other)
    assert client.stuck is None
    other.close()
    theirs.close()


def test_only_what_may_be_skipped_may_be_too_large(client, ends):
    client.started(ends[0])
    large = RingReady("x" * (64 << 20), 1, 1, 1)
    assert not client._post(large, may_be_skipped=True)
    with pytest.raises(ChannelMessageError):
        client._post(large)


def test_nothing_is_sent_to_a_child_that_is_gone(client, ends):
    assert not client._post(Stop())
    client.started(ends[0])
    client.lost("killed", None, 0)
    assert not client._post(Stop())
