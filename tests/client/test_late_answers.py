"""A trigger's id comes again, and the answer to the one before it comes late."""

import json
import threading

import zmq

from inspectd.client import TriggerSender
from inspectd.wire import TriggerRequest


def test_the_answer_to_a_trigger_that_timed_out_is_not_the_next_ones(tmp_path):
    endpoint = f"ipc://{tmp_path}/control.sock"

    def answer(number):
        return json.dumps(
            {"schema": "trigger_ack/1", "trigger_id": "1", "epoch": 1, "received_utc_ns": number,
             "deadline_ms": 5.0, "cameras": ["top"]}
        ).encode()  # fmt: skip

    first_timed_out = threading.Event()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as line:
        line.setsockopt(zmq.LINGER, 0)
        line.bind(endpoint)

        def serve():
            late, *_ = line.recv_multipart()
            first_timed_out.wait(10)
            line.send_multipart([late, answer(1)])
            client, *_ = line.recv_multipart()
            line.send_multipart([client, answer(2)])

        thread = threading.Thread(target=serve)
        thread.start()
        with TriggerSender(endpoint) as sender:
            assert sender.send(TriggerRequest("1"), 0.3) is None
            first_timed_out.set()
            found = sender.send(TriggerRequest("1"), 10)
        thread.join()
    assert found.received_utc_ns == 2
