"""Sends triggers to a line, as a photo eye would, and prints each answer.

Ids count up and wrap at 65,536, like a PLC's 16-bit counter.
"""

from __future__ import annotations

import argparse
import sys
import time

from inspectd.client import Accepted, TriggerAnswer, TriggerRequest, TriggerSender
from inspectd.text import printable


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("endpoint", metavar="CONTROL_ENDPOINT", help="ipc://.../control.sock or tcp://...")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="triggers to send (10)")
    parser.add_argument("--period-ms", type=float, default=500.0, metavar="N", help="between them (500)")
    parser.add_argument("--first-id", type=int, default=1, metavar="N", help="the first trigger id (1)")
    parser.add_argument("--recipe", metavar="NAME", help="judge by this recipe")
    parser.add_argument("--deadline-ms", type=float, metavar="N", help="from trigger to verdict")
    parser.add_argument("--golden", metavar="PART", help="it is this golden part; give --count 1")
    parser.add_argument(
        "--line", metavar="PLANT/LINE", default="", help="any other line refuses (whichever is asked)"
    )
    arguments = parser.parse_args()
    refused = 0
    with TriggerSender(arguments.endpoint) as sender:
        due = time.monotonic()
        for number in range(arguments.first_id, arguments.first_id + arguments.count):
            time.sleep(max(0.0, due - time.monotonic()))
            due += arguments.period_ms / 1000
            request = TriggerRequest(
                str(number % 65_536),
                part_id=f"part-{number}",
                recipe=arguments.recipe,
                deadline_ms=arguments.deadline_ms,
                golden=arguments.golden,
                line=arguments.line,
            )
            answer = sender.send(request, timeout_seconds=1.0)
            refused += not isinstance(answer, Accepted)
            print(f"{request.trigger_id}: {_said(answer)}", flush=True)
    return 1 if refused else 0


def _said(answer: TriggerAnswer | None) -> str:
    if isinstance(answer, Accepted):
        return printable(f"accepted, {', '.join(answer.cameras)}, verdict within {answer.deadline_ms:g} ms")
    if answer is None:
        return "no answer"
    return printable(f"refused, {answer.reason}: {answer.detail}")


if __name__ == "__main__":
    sys.exit(main())
