"""A socket that is empty after ZeroMQ's thread was seen asleep has had all that came before."""

import random
import threading
import time
from pathlib import Path

import pytest
import zmq
from support.raw_client import shake_hands

from inspectd.errors import InspectdError
from inspectd.ipc.io_thread import IoThreads


def test_without_a_context_there_is_none():
    with pytest.raises(InspectdError, match="no thread named ZMQbg/IO"):
        IoThreads()


def test_what_was_sent_before_it_was_seen_asleep_is_there():
    """Beside a stranger that keeps the thread busy."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind("ipc://*")
        path = router.getsockopt(zmq.LAST_ENDPOINT).decode().strip("\0").removeprefix("ipc://")
        ended = threading.Event()

        def flood():
            with shake_hands(Path(path), b"DEALER") as noisy:
                while not ended.is_set():
                    noisy.sendall(b"\x00\x01x" * 50)  # so few that they can be read as fast as they come
                    time.sleep(0.002)

        thread = threading.Thread(target=flood)
        thread.start()
        threads = IoThreads()
        chance, proven = random.Random(1), 0
        with shake_hands(Path(path), b"DEALER") as honest:
            for number in range(300):
                time.sleep(chance.uniform(0, 0.003))
                sent = number.to_bytes(4, "big")
                honest.sendall(b"\x00\x04" + sent)
                is_asleep, got = threads.are_asleep(), set()
                while router.poll(0):
                    got.add(router.recv_multipart()[1])
                proven += is_asleep
                assert not is_asleep or sent in got
        ended.set()
        thread.join()
        threads.close()
    assert proven > 50
