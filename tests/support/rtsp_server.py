"""An RTSP camera for tests: `/usr/bin/python3 rtsp_server.py PORT` serves rtsp://127.0.0.1:PORT/cam.

Runs under the system's Python, which has the GObject bindings. Prints `ready` when it listens.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

# Stripes that move, in colours of this server alone: no two pictures are alike.
PIPELINE = (
    "( videotestsrc is-live=true pattern=smpte horizontal-speed=4"
    " ! videobalance hue={hue:.4f} ! videoconvert"
    " ! video/x-raw,width={width},height={height},framerate=25/1"
    " ! x264enc tune=zerolatency sliced-threads={sliced} speed-preset=ultrafast key-int-max=10"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def main(port: str, width: str = "320", height: str = "240", sliced: str = "false") -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        PIPELINE.format(width=width, height=height, sliced=sliced, hue=time.time_ns() % 2**20 / 2**20)
    )
    factory.set_shared(True)
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on 127.0.0.1:{port}")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
