"""Prints a line's verdicts, with nothing but docs/wire.md to go by. Usage: print_verdicts.py ENDPOINT."""

import json
import sys

import zmq

SHOWN = "seq", "camera", "evaluation", "reason"

socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
socket.setsockopt(zmq.IPV6, 1)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5571")
socket.subscribe(b"i1/")
timeout_ms = -1
while True:
    if not socket.poll(timeout_ms):
        print("STALE: three heartbeats missed, reject everything", flush=True)
        timeout_ms = -1
        continue
    topic, header, *_ = socket.recv_multipart()
    message = json.loads(header)
    if message["schema"].startswith("heartbeat/"):
        timeout_ms = int(3 * message["interval_ms"])
    elif message["schema"].startswith("verdict/"):
        score = "-" if message["score"] is None else f"{message['score']:.3f}"
        # Another's text is not printed raw: it may hold line breaks, or what a terminal obeys.
        said = (str(message[name]).encode("unicode_escape").decode() for name in SHOWN)
        print(*said, score, flush=True)
