"""Prints a line's verdicts, with nothing but docs/wire.md to go by. Usage: print_verdicts.py ENDPOINT."""

import json
import sys

import zmq

SHOWN = "seq", "camera", "evaluation", "reason"
FIRST_MS = 5000  # heartbeats come several times a second

endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5571"
socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
socket.setsockopt(zmq.IPV6, 1)
try:
    socket.connect(endpoint)
except zmq.ZMQError as error:
    sys.exit(f"{endpoint}: {error}; expected ipc:///PATH/verdicts.sock or tcp://HOST:PORT of a line")
socket.subscribe(b"i1/")
is_heard = False
timeout_ms = FIRST_MS
try:
    while True:
        if not socket.poll(timeout_ms):
            if is_heard:
                print("STALE: three heartbeats missed, reject everything", flush=True)
            else:
                hint = "does the line run, is this its socket, and does it want a key?"
                print(f"nothing from {endpoint} in {FIRST_MS / 1000:g} s: {hint} Waiting", file=sys.stderr)
            timeout_ms = -1
            continue
        topic, header, *_ = socket.recv_multipart()
        is_heard = True
        message = json.loads(header)
        if message["schema"].startswith("heartbeat/"):
            timeout_ms = int(3 * message["interval_ms"])
        elif message["schema"].startswith("verdict/"):
            score = "-" if message["score"] is None else f"{message['score']:.3f}"
            # Another's text is not printed raw: it may hold line breaks, or what a terminal obeys.
            said = (str(message[name]).encode("unicode_escape").decode() for name in SHOWN)
            print(*said, score, flush=True)
except BrokenPipeError:  # as by `| head`: who reads has seen enough
    sys.stderr.close()  # Python would tell there that it could not write the rest
except KeyboardInterrupt:
    sys.exit(130)
