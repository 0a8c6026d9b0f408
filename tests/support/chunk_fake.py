"""viva-genicam's fake GigE Vision camera, which sends chunks, told what to do line by line on standard input.

Usage: chunk_fake.py ADDRESS [JSON]. The JSON object may have `side`, rows and columns, `fps`, `lost`, packets
that are never sent as [frame number, packet number], `resend`, whether it sends them again when asked, and
`slow`, seconds by the name of a register that it takes to answer. It understands `trigger N HERTZ`, as a
photo eye that the line does not control, and `free`, which ends the control of a program; it answers `done`.
"""

import json
import socket
import struct
import sys
import time

from viva_genicam.testing import FakeGigeCamera

_PORT, _WRITE_REGISTER, _TRIGGER_REGISTER = 3956, 0x0082, 0x200E0


def main(address: str, more: str = "{}") -> None:
    told = json.loads(more)
    slow = {FakeGigeCamera.REGISTERS[name]: seconds for name, seconds in told.get("slow", {}).items()}
    # A frame of so many rows and columns fits into a socket of any system: none is lost by chance.
    fake = FakeGigeCamera(
        width=told.get("side", 256), height=told.get("side", 256), fps=told.get("fps", 25), bind_ip=address,
        packet_resend=told.get("resend", True),
        drop_packets=[tuple(each) for each in told.get("lost", [])], delay_ack=slow,
    )  # fmt: skip
    with fake, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as eye:
        print("ready", flush=True)
        for line in sys.stdin:
            word, *numbers = line.split()
            if word == "trigger":
                count, hertz = int(numbers[0]), float(numbers[1])
                for _ in range(count):
                    time.sleep(1 / hertz)
                    pull(eye, address, fake.controller())
            elif word == "free":
                fake.revoke_control()
            print("done", flush=True)


def pull(eye: socket.socket, address: str, controller: str | None) -> None:
    """Write the register of its trigger. It takes that of its controller alone, so it comes as from there."""
    if controller is None:
        return
    here, _, port = controller.rpartition(":")
    written = struct.pack(">BBHHHII", 0x42, 0, _WRITE_REGISTER, 8, 0xFFFF, _TRIGGER_REGISTER, 1)
    datagram = struct.pack(">HHHH", int(port), _PORT, 8 + len(written), 0) + written
    ends = socket.inet_aton(here) + socket.inet_aton(address)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    eye.sendto(header + datagram, (address, 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
