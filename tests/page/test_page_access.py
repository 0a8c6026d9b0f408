"""How browsers reach the page: over its own TLS, through a named proxy, and by its commands for users."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from support.page_process import NOTHING, PASSWORD, PageProcess
from support.tools import tool

from inspectd.cli import main
from inspectd.errors import ExitCode
from inspectd.page.accounts.outside import OutsidePerson
from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore

pytestmark = pytest.mark.daemon


def certificate(folder: Path, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Make one, as `cert.pem` and `key.pem`; what trusts it alone."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.new"), "-out", str(folder / "cert.new")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(cafile=str(folder / "cert.new"))
    for file in ("cert", "key"):
        (folder / f"{file}.new").rename(folder / f"{file}.pem")
    return context


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., PageProcess]]:
    """Starts pages."""
    started: list[PageProcess] = []

    def begin(*arguments: str, **more: object) -> PageProcess:
        started.append(PageProcess(tmp_path / "page", tmp_path / "no-line", *arguments, **more))
        return started[-1]

    yield begin
    for page in started:
        page.close()


def test_over_tls_cookies_are_bound_to_it_and_a_new_certificate_needs_no_restart(start, tmp_path) -> None:
    trusted = certificate(tmp_path / "tls")
    files = f'tls_certificate = "{tmp_path}/tls/cert.pem"\ntls_key = "{tmp_path}/tls/key.pem"'
    page = start(server=files, is_encrypted=True)
    form = {"name": "viewer", "password": PASSWORD}
    with httpx.Client(base_url=page.origin, verify=trusted, headers={"Origin": page.origin}) as browser:
        answer = browser.post("/login", data=form)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-inspectd.test.line=")
        assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        assert "strict-transport-security" not in answer.headers  # it would hold for every port of the host
        assert browser.get("/api/me").json()["name"] == "viewer"
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{page.port}/healthz")
    with ExitStack() as held:  # whoever begins hand-shakes without end has no more connections than others
        for _ in range(40):
            held.enter_context(
                socket.create_connection(("127.0.0.1", page.port), source_address=("127.0.0.9", 0))
            )
        assert httpx.get(f"{page.origin}/healthz", verify=trusted).status_code == 200
        assert page.process is not None
        held_sockets = [
            each
            for each in Path(f"/proc/{page.process.pid}/net/tcp").read_text().splitlines()
            if f":{page.port:04X} 0900007F" in each and " 01 " in each
        ]
        assert len(held_sockets) == 40

    renewed = certificate(tmp_path / "tls", "renewed")
    end = time.monotonic() + 10
    while True:
        try:
            httpx.get(f"{page.origin}/healthz", verify=renewed)
            break
        except httpx.ConnectError:
            assert time.monotonic() < end, page.log.read_text()
            time.sleep(0.2)
    cert = tmp_path / "tls" / "cert.pem"
    right = cert.read_bytes()
    cert.write_text("no certificate")
    end = time.monotonic() + 10
    while "certificate_refused" not in page.log.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert httpx.get(f"{page.origin}/healthz", verify=renewed).status_code == 200

    refused_ns = cert.stat().st_mtime_ns
    new = cert.with_suffix(".new")
    new.write_bytes(right)
    os.utime(new, ns=(refused_ns, refused_ns))
    time.sleep(2.5)  # it is looked at every 2 s, and said once
    assert page.log.read_text().count("certificate_refused") == 1
    new.rename(cert)  # as where a right to read it is given: its time stays
    end = time.monotonic() + 10
    while page.log.read_text().count("certificate_renewed") < 2:
        assert time.monotonic() < end, page.log.read_text()
        time.sleep(0.1)


def test_only_a_named_proxy_says_whose_request_it_is(start) -> None:
    page = start('[proxy]\naddresses = ["127.0.0.8"]\norigin = "https://page.plant.example"')
    told = {
        "X-Forwarded-For": "10.1.2.3",
        "X-Forwarded-Proto": "https",
        "Origin": "https://page.plant.example",
    }
    form = {"name": "viewer", "password": "wrong"}
    for local, address in (("127.0.0.8", "10.1.2.3"), ("127.0.0.9", "127.0.0.9")):
        transport = httpx.HTTPTransport(local_address=local, verify=NOTHING)
        with httpx.Client(transport=transport, base_url=page.origin) as proxy:
            assert proxy.post("/login", data=form, headers=told).status_code == 401
            assert page.audit()[-1]["door"] == f"page {address}"
            assert proxy.post("/login", data=form, headers={**told, "Origin": page.origin}).status_code == 403
            answer = proxy.post("/login", data={**form, "password": PASSWORD}, headers=told)
            assert answer.headers["set-cookie"].startswith("__Host-inspectd.test.line=")


def test_users_by_commands(tmp_path, capsys, monkeypatch) -> None:
    assert main(["page", "--init", str(tmp_path)]) == ExitCode.OK
    file = tmp_path / "page.toml"
    file.write_text(file.read_text().replace('dir = ""', f'dir = "{tmp_path}/store"'))
    page = ["page", "--config", str(file)]

    def said(*words: str, given: str = PASSWORD) -> tuple[int, str]:
        entered = tmp_path / "stdin"
        entered.write_text(given + "\n")
        with entered.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            code = main([*page, *words])
        out = capsys.readouterr()
        return code, out.out + out.err

    assert "nobody may log in yet" in said("user", "list")[1]
    assert said("user", "add", "Kim", "--role", "admin", given="short")[0] == ExitCode.BAD_INPUT
    assert said("user", "add", "Kim", "--role", "admin")[0] == ExitCode.OK
    assert "already" in said("user", "add", "KIM", "--role", "viewer")[1]
    assert "last one" in said("user", "disable", "Kim")[1]
    assert said("user", "add", "Lee", "--role", "viewer")[0] == ExitCode.OK
    assert said("user", "role", "Lee", "--role", "quality")[0] == ExitCode.OK
    assert said("user", "password", "Lee", given="another long password")[0] == ExitCode.OK
    assert "no user" in said("user", "password", "Park")[1]
    assert said("user", "disable", "Lee")[0] == ExitCode.OK
    with closing(AccountStore(tmp_path / "store")) as store:
        store.admit(OutsidePerson("Choi", Role.VIEWER, "proxy"))
    assert said("user", "free", "Choi")[0] == ExitCode.OK
    listed = said("user", "list")[1].splitlines()
    assert [line.split() for line in listed] == [["Kim", "admin"], ["Lee", "quality", "disabled"]]
    code, trail = said("audit")
    assert code == ExitCode.OK
    assert trail.count('"result":"begun"') == 10
    assert trail.count('"result":"done"') == 6
    assert "20 records, none altered" in trail
    assert PASSWORD not in trail
    audit = tmp_path / "store" / "page-audit.jsonl"
    audit.write_bytes(audit.read_bytes().replace(b"quality", b"admin.."))
    code, trail = said("audit")
    assert (code, "line 12" in trail) == (ExitCode.FAILED, True)
    audit.write_bytes(audit.read_bytes()[:-3] + b"9}\n")
    assert said("user", "enable", "Lee")[0] == ExitCode.BAD_INPUT
    assert "disabled" in said("user", "list")[1]  # nothing is done that cannot be recorded
    assert (tmp_path / "store" / "accounts.sqlite").stat().st_mode & 0o077 == 0
