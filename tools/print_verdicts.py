"""Prints a line's verdicts, with nothing but docs/wire.md to go by. Usage: print_verdicts.py ENDPOINT."""

import json
import sys

import zmq

socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
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
        print(message["seq"], message["camera"], message["evaluation"], message["reason"], score, flush=True)
