"""Serves rtsp://127.0.0.1:PORT/cam with the H.264 pictures that come on standard input, timed as they say.

`/usr/bin/python3 rtsp_relay.py PORT`, under the system's Python, which has the GObject bindings. A picture is
its time (CLOCK_MONOTONIC, ns) and its size as `>QI`, and an access unit in Annex B. Prints `ready` when it
listens; ends with its input.
"""

import struct
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = (
    "( appsrc name=pictures is-live=true format=time"
    " caps=video/x-h264,stream-format=byte-stream,alignment=au"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
HEAD = struct.Struct(">QI")


class Relay:
    def __init__(self) -> None:
        self._source = None

    def configure(self, _factory, media) -> None:
        self._source = media.get_element().get_by_name_recurse_up("pictures")

    def run(self, stream, ended) -> None:
        while head := stream.read(HEAD.size):
            at_ns, size = HEAD.unpack(head)
            encoded = stream.read(size)
            source = self._source
            base_ns = source.get_base_time() if source is not None else 0
            if base_ns:  # somebody watches; the pipeline's clock is CLOCK_MONOTONIC
                picture = Gst.Buffer.new_wrapped(encoded)
                picture.pts = max(0, at_ns - base_ns)
                source.emit("push-buffer", picture)
        ended()


def main(port: str) -> None:
    Gst.init(None)
    relay, loop = Relay(), GLib.MainLoop()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    factory.connect("media-configure", relay.configure)
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on 127.0.0.1:{port}")
    print("ready", flush=True)
    threading.Thread(target=relay.run, args=(sys.stdin.buffer, loop.quit), daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
