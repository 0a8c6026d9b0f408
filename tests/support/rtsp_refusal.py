"""An RTSP server that answers every request with one status."""

import socketserver
import threading


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        lines = []
        for line in self.rfile:
            lines.append(line.strip())
            if line.strip():
                continue
            number = next(each for each in lines if each.lower().startswith(b"cseq")).split(b":")[1].strip()
            challenge = b'WWW-Authenticate: Basic realm="cam"\r\n' if self.server.status == 401 else b""
            self.wfile.write(
                b"RTSP/1.0 %d No\r\nCSeq: %s\r\n%s\r\n" % (self.server.status, number, challenge)
            )
            lines = []


class RtspRefusal(socketserver.ThreadingTCPServer):
    """Listens on loopback while it is entered."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.port = status, self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
