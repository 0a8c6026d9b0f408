"""viva-genicam's fake GigE Vision camera, which sends chunks, until standard input says something."""

import sys

from viva_genicam.testing import FakeGigeCamera


def main(address: str) -> None:
    # A frame of so many rows and columns fits into a socket of any system: none is lost by chance.
    with FakeGigeCamera(width=256, height=256, fps=25, bind_ip=address):
        print("ready", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1])
