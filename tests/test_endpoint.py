"""The metrics endpoint over real sockets: TLS, passwords, clients that misbehave."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from inspectd.config import MetricsSettings
from inspectd.endpoint import Endpoint, Users, add_user, tls_context
from inspectd.errors import InputError
from inspectd.metrics_server import MetricsServer


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inspectd_up 1\n"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


def get(url: str, user: str | None = None, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url)
    if user is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_pipe_in_the_place_of_users_holds_up_nobody(tmp_path):
    os.mkfifo(tmp_path / "users", 0o600)
    with pytest.raises(InputError, match="users: is not a regular file, expected one"):
        Users(tmp_path / "users")


def test_users_who_are_added_at_once_are_all_there(tmp_path):
    names = [f"user{number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as at_once:
        list(at_once.map(lambda name: add_user(tmp_path / "users", name, "secret"), names))
    users = Users(tmp_path / "users")
    assert [name for name in names if users.knows(name, "secret")] == names


def test_tls_and_a_password_are_both_needed(tmp_path, certificate):
    add_user(tmp_path / "users", "prometheus", "pass:word")
    refused = []
    users = Users(tmp_path / "users")
    endpoint = Endpoint(
        app,
        ("127.0.0.1", 0),
        tls=tls_context(*certificate),
        users=users,
        on_refused=lambda: refused.append(1),
    )
    try:
        url = f"https://127.0.0.1:{endpoint.port}/metrics"
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        assert get(url, "prometheus:pass:word", trusting) == (200, b"inspectd_up 1\n")
        for wrong in (None, "prometheus:wrong", "nobody:pass:word", "prometheus", ":", "\xff:\xff"):
            status, body = get(url, wrong, trusting)
            assert status == 401
            assert b"inspectd" not in body
        assert len(refused) == 6
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            get(f"http://127.0.0.1:{endpoint.port}/metrics", "prometheus:pass:word")
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            get(url, "prometheus:pass:word", ssl.create_default_context())
    finally:
        endpoint.close()


def test_clients_that_say_nothing_hold_up_nobody(certificate):
    before = threading.active_count()
    endpoint = Endpoint(app, ("127.0.0.1", 0), tls=tls_context(*certificate))
    silent = []
    try:
        silent += [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(8)]
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        assert get(f"https://127.0.0.1:{endpoint.port}/", None, trusting)[0] == 200
        # More than there are threads: some are hung up on, none makes another one.
        silent += [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(40)]
        assert threading.active_count() - before < 40
    finally:
        for connection in silent:
            connection.close()
        endpoint.close()


def test_a_client_that_hangs_up_over_tls_before_its_answer_leaves_no_traceback(certificate, capfd):
    asked, gone = threading.Event(), threading.Event()

    def slow(environ, start_response):
        asked.set()
        gone.wait(10)
        return app(environ, start_response)

    endpoint = Endpoint(slow, ("127.0.0.1", 0), tls=tls_context(*certificate))
    before = set(threading.enumerate())
    try:
        context = ssl.create_default_context(cafile=certificate[0])
        plain = socket.create_connection(("127.0.0.1", endpoint.port), 10)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asked.wait(10)
            client.shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)  # its end is there
        gone.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
    finally:
        endpoint.close()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer abc", "Basic " + "A" * 5000, "basic Og=="])
def test_a_header_that_is_none_is_refused(tmp_path, header):
    add_user(tmp_path / "users", "prometheus", "secret")
    endpoint = Endpoint(app, ("127.0.0.1", 0), users=Users(tmp_path / "users"))
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{endpoint.port}/", headers={"Authorization": header}
        )
        with pytest.raises(urllib.error.HTTPError, match="401") as error:
            urllib.request.urlopen(request, timeout=10)
        error.value.close()
    finally:
        endpoint.close()


def test_files_that_cannot_be_used_are_named(tmp_path, certificate):
    with pytest.raises(InputError, match=r"users: cannot be read: No such file.*`inspectd keys password`"):
        Users(tmp_path / "users")
    add_user(tmp_path / "users", "prometheus", "secret")
    (tmp_path / "users").chmod(0o644)
    with pytest.raises(InputError, match="has mode 644, expected 600"):
        Users(tmp_path / "users")
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "users").write_text("prometheus:secret\n")
    with pytest.raises(InputError, match="users, line 1: is not in the format"):
        Users(tmp_path / "users")
    with pytest.raises(InputError, match=r"metrics\.tls_certificate .* cannot be used"):
        tls_context(certificate[1], certificate[0])
    with pytest.raises(InputError, match=r"cannot be used: No such file"):
        tls_context(tmp_path / "none", certificate[1])


def test_the_users_file_may_have_comments_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "users"
    add_user(file, "a", "one")
    file.write_bytes(b"\xef\xbb\xbf" + "# Pr\xfcfstand\n\n".encode() + file.read_bytes())
    add_user(file, "b", "two")
    users = Users(file)
    assert users.knows("a", "one")
    assert users.knows("b", "two")
    assert file.read_text().startswith("# Pr\xfcfstand\n")


def test_slow_clients_do_not_lock_others_out():
    """Fifty clients that send a byte now and then, and come again when they are cut off."""
    endpoint = Endpoint(app, ("127.0.0.1", 0))
    slow: list[socket.socket] = []
    try:
        for n in range(50):
            slow.append(socket.create_connection(("127.0.0.1", endpoint.port)))
            slow[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
            if n % 10 == 9:
                assert get(f"http://127.0.0.1:{endpoint.port}/metrics")[0] == 200
    finally:
        for client in slow:
            client.close()
        endpoint.close()


def test_a_request_has_a_time_of_its_own_however_many_bytes_it_comes_in(monkeypatch):
    monkeypatch.setattr("inspectd.endpoint._REQUEST_SECONDS", 0.6)
    endpoint = Endpoint(app, ("127.0.0.1", 0))
    try:
        with socket.create_connection(("127.0.0.1", endpoint.port)) as client:
            client.settimeout(0.2)
            began = time.monotonic()
            client.sendall(b"GET / HTTP/1.1\r\nX: ")
            with contextlib.suppress(OSError):
                while time.monotonic() - began < 5:
                    client.sendall(b"x")
                    with contextlib.suppress(TimeoutError):
                        assert client.recv(1) == b""
                        break
            assert time.monotonic() - began < 2.5
    finally:
        endpoint.close()


def test_a_request_longer_than_any_scrape_is_refused_unread():
    endpoint = Endpoint(app, ("127.0.0.1", 0))
    try:
        with socket.create_connection(("127.0.0.1", endpoint.port)) as client:
            client.settimeout(5)
            client.sendall(
                b"GET / HTTP/1.0\r\n" + b"X: 1234567890\r\n" * 99 + b"Y: " + b"x" * 16_000 + b"\r\n\r\n"
            )
            assert b" 431 " in client.recv(100)
    finally:
        endpoint.close()


def raw(port: int, head: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n" + head + b"\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_password_that_is_no_text_is_refused_and_counted(tmp_path, capfd):
    add_user(tmp_path / "users", "prometheus", "secret")
    refused = []
    endpoint = Endpoint(
        app, ("127.0.0.1", 0), users=Users(tmp_path / "users"), on_refused=lambda: refused.append(1)
    )
    try:
        assert raw(endpoint.port, b"Authorization: Basic \xff\xff").startswith(b"HTTP/1.0 401 ")
    finally:
        endpoint.close()
    assert refused == [1]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("version", [b"abc", b"a.b", b"1.0.0\x00"])
def test_a_scraper_that_names_no_version_gets_plain_text(version, capfd):
    registry = CollectorRegistry()
    Counter("inspectd_parts", "Parts.", registry=registry)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = MetricsServer(registry, MetricsSettings(port=port))
    try:
        answer = raw(port, b"Accept: application/openmetrics-text; version=" + version)
    finally:
        server.close()
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b"Content-Type: text/plain" in answer
    assert b"inspectd_parts_total 0.0" in answer
    assert "Traceback" not in capfd.readouterr().err


def test_an_application_that_fails_is_logged_as_an_event(caplog, capfd):
    def fails(environ, start_response):
        raise RuntimeError("it is broken")

    endpoint = Endpoint(fails, ("127.0.0.1", 0))
    try:
        assert raw(endpoint.port, b"X: y").startswith(b"HTTP/1.0 500 ")
    finally:
        endpoint.close()
    (record,) = [each for each in caplog.records if each.getMessage() == "request_failed"]
    assert record.fields == {"path": "/metrics"}
    assert "it is broken" in str(record.exc_info[1])
    assert capfd.readouterr().err == ""


def test_who_guesses_passwords_keeps_nobody_out_and_takes_little_memory(tmp_path):
    def rss_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    def ask(password: bytes, address: str) -> bytes:
        told = base64.b64encode(b"prometheus:" + password)
        with socket.create_connection(("127.0.0.1", endpoint.port), 5, (address, 0)) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\nAuthorization: Basic " + told + b"\r\n\r\n")
            return client.recv(100)[9:12]

    def guess(number: int) -> list[bytes]:
        said = []
        with contextlib.suppress(OSError):  # there are places for 64
            while not stop.is_set():
                said.append(ask(b"wrong", f"127.0.1.{number % 4}"))
        return said

    add_user(tmp_path / "users", "prometheus", "secret")
    refused: list[int] = []
    stop = threading.Event()
    endpoint = Endpoint(
        app, ("127.0.0.1", 0), users=Users(tmp_path / "users"), on_refused=lambda: refused.append(1)
    )
    before = rss_mib()
    try:
        with ThreadPoolExecutor(40) as pool:
            guesses = [pool.submit(guess, number) for number in range(40)]
            try:
                while len(refused) < 100:
                    time.sleep(0.01)
                # The first scrape waits for a guess of each of four addresses; later ones wait for none.
                assert [ask(b"secret", "127.0.0.2") for _ in range(10)] == [b"200"] * 10
                assert ask(b"secret", "127.0.1.1") == b"200"
            finally:
                stop.set()
        said = [each for waited in guesses for each in waited.result()]
    finally:
        endpoint.close()
    assert set(said) == {b"401", b"503"}
    assert len(refused) == len(said)
    assert rss_mib() - before < 100
