"""Put before a daemon's module path, it makes faults inside that cannot be made from outside.

The daemon's authenticator stops when a file appears: with `deaf` in it the handler is asked and never
answers; with `gone` it is no longer there. What is in force stands in a second file, which ends in `.seen`.
"""

import os
import select
import sys
import time

if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    # libfaketime 0.9.10 makes clock_nanosleep(2) fail for absolute times, which CPython's sleep uses.
    time.sleep = lambda seconds: select.select([], [], [], seconds)

if {"inspectd.publish.door.worker", "tcp"} <= set(sys.orig_argv) and "INSPECTD_FAULT_AUTH" in os.environ:
    from inspectd.publish.access import auth

    _answer, _reread = auth.Authenticator.answer, auth.Authenticator.reread
    _bound = {"is": True}
    _seen = {"is": ""}

    def _fault():
        try:
            with open(os.environ["INSPECTD_FAULT_AUTH"]) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def answer(self):
        if not _fault():
            _answer(self)

    def reread(self):
        fault = _fault()
        wanted = fault != "gone"
        if _bound["is"] != wanted:
            (self.socket.bind if wanted else self.socket.unbind)(auth._ENDPOINT)
            _bound["is"] = wanted
        if _seen["is"] != fault:
            with open(os.environ["INSPECTD_FAULT_AUTH"] + ".seen", "w") as file:
                file.write(fault)
            _seen["is"] = fault
        return _reread(self)

    auth.Authenticator.answer, auth.Authenticator.reread = answer, reread
