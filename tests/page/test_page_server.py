"""The page as a process without a line: login, roles, where requests may come from, limits, headers."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.page_process import PASSWORD, PageProcess

from inspectd.page.accounts.roles import ROLES, Role
from inspectd.page.security import HEADERS

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    folder = tmp_path_factory.mktemp("page")
    process = PageProcess(folder, folder / "no-line")
    yield process
    process.close()


@pytest.fixture(autouse=True)
def browsers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Closes them after each test."""
    yield
    if "page" in request.fixturenames:
        request.getfixturevalue("page").close_browsers()


def log_in(page: PageProcess, name: str, password: str = PASSWORD, address: str = "127.0.0.1"):
    browser = page.browser(address=address)
    answer = browser.post("/login", data={"name": name, "password": password})
    return browser, answer


def test_who_logs_in_is_told_what_the_role_may(page) -> None:
    browser, answer = log_in(page, "Engineer")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    me = browser.get("/api/me").json()
    assert (me["name"], me["role"], me["is_idle"]) == ("engineer", "engineer", False)
    assert set(me["acts"]) == set(ROLES[Role.ENGINEER].acts)
    assert browser.post("/logout").headers["location"] == "/login"
    assert browser.get("/api/me").status_code == 401
    records = [(each["action"], each["who"], each["result"]) for each in page.audit()]
    assert records[-2:] == [("login", "engineer", "done"), ("logout", "engineer", "done")]


def test_the_commands_of_the_documentation_log_in_read_and_log_out(page, tmp_path) -> None:
    documented = (Path(__file__).parents[2] / "docs/page.md").read_text().splitlines()
    commands = [line.strip() for line in documented if line.startswith("    curl ")]
    (tmp_path / "secret").write_text(PASSWORD)
    said = [
        subprocess.run(
            shlex.split(command.replace("https://HOST:8443", page.origin)),
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for command in commands
    ]  # fmt: skip
    assert (said[0], json.loads(said[1])["line"], len(said)) == ("303", "line", 3)
    assert [each["action"] for each in page.audit()][-2:] == ["login", "logout"]


def test_a_session_that_somebody_else_knew_is_never_the_one_after_login(page) -> None:
    browser = page.browser()
    browser.cookies.set("inspectd-plain.test.line", "chosen-by-somebody-else", domain="127.0.0.1")
    before = page.token("viewer")
    browser.cookies.set("inspectd-plain.test.line", before, domain="127.0.0.1")
    answer = browser.post("/login", data={"name": "viewer", "password": PASSWORD})
    after = answer.cookies["inspectd-plain.test.line"]
    assert after not in {before, "chosen-by-somebody-else"}
    assert page.store.session(before) is None
    assert page.store.session(after) is not None
    assert before.encode() not in (page.folder / "store" / "accounts.sqlite").read_bytes()


@pytest.mark.parametrize("name", ["viewer", "nobody-of-this-name", "<script>alert(1)</script>"])
def test_a_wrong_password_says_no_more_than_that(page, name) -> None:
    browser, answer = log_in(page, name, "wrong " + PASSWORD, "127.0.0.4")
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert 'maxlength="200" required autofocus' in answer.text
    assert answer.text.count("autofocus") == 1
    assert "<script" not in answer.text
    assert "set-cookie" not in answer.headers
    last = page.audit()[-1]
    assert last["result"] == "refused: wrong"
    assert last["who"] == (name if name == "viewer" else "nobody")  # which may be a password
    assert (
        "이름 또는"
        in browser.post(
            "/login", data={"name": name, "password": "x"}, headers={"Accept-Language": "ko-KR,en;q=0.5"}
        ).text
    )


def test_a_flood_of_logins_is_held_up_and_the_person_elsewhere_is_not(page) -> None:
    answers = [log_in(page, "quality", f"wrong {number}", "127.0.0.6")[1].status_code for number in range(7)]
    assert answers == [401] * 5 + [429] * 2
    answer = log_in(page, "quality", address="127.0.0.6")[1]
    assert answer.status_code == 429
    assert "Try again in 15 min." in answer.text
    assert log_in(page, "quality", address="127.0.0.7")[1].status_code == 303


def test_every_answer_has_its_headers_and_names_no_server(page) -> None:
    browser = page.browser("viewer")
    for path in (
        "/login",
        "/api/me",
        "/healthz",
        "/assets/login.css",
        "/assets/none",
        "/api/none",
        "/%2e%2e",
    ):
        answer = browser.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
        assert "server" not in answer.headers
    assert browser.get("/healthz").json() == {"ok": True}


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../settings.py", "/assets/%2e%2e/settings.py", "/assets/..%2f..%2fsettings.py",
        "/assets//etc/passwd", "/assets/login.css/..", "/assets/login.css%00.js", "/assets/",
        "/api/strip/1/../../me", "/api/strip/99999999999999999999999/1",
        f"/api/strip/1/{'9' * 5000}", f"/api/parts/{'9' * 5000}/1", "/api/parts/-1/1",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_page_s_files(page, path) -> None:
    with socket.create_connection(("127.0.0.1", page.port)) as raw:
        head = (
            f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: inspectd-plain.test.line={page.token('viewer')}\r\n"
        )
        raw.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert answer.split()[1] in {b"404", b"503"}, answer[:200]
    assert b"root:" not in answer
    assert b"import" not in answer
    assert "Traceback" not in page.log.read_text()


FOREIGN = [
    {"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Host": "elsewhere.example"},
    # A name that was turned to this host:
    {"Host": "elsewhere.example", "Origin": "http://elsewhere.example"},
    {"Host": "127.0.0.1.elsewhere.example:80", "Origin": "http://127.0.0.1.elsewhere.example:80"},
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/api/acts/golden_begin", "/api/me/language", "/login", "/logout"])
def test_what_another_site_has_a_browser_send_does_nothing(page, path, headers) -> None:
    browser = page.browser("engineer")
    answer = browser.post(path, json={"language": "ko"}, headers=headers)
    assert (answer.status_code, answer.json()["what"]) == (403, "origin")
    assert browser.get("/api/me").json()["language"] == "en"


def test_another_port_s_page_can_have_nothing_exported_in_a_person_s_name(page) -> None:
    browser = page.browser("inspector")
    before = len(page.audit())
    for site in ("same-site", "cross-site"):
        answer = browser.get("/api/verdicts.csv", headers={"Sec-Fetch-Site": site})
        assert (answer.status_code, answer.json()["what"]) == (403, "origin")
    assert len(page.audit()) == before
    assert browser.get("/api/me", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert browser.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code != 403  # a link in a mail


def test_a_form_of_another_kind_than_json_does_nothing(page) -> None:
    browser = page.browser("engineer")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = browser.post("/api/me/language", content='{"language":"ko"}', headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["what"]) == (415, "not_json")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[" * 60_000, 400), (b'{"language":"\xff"}', 400), (b'{"language":"ko","x":1}', 400),
     (b'{"language":7}', 400), (b'{"language":"kr"}', 400), (b" " * 70_000, 413), (b"", 400)],
)  # fmt: skip
def test_bad_bodies_are_refused_in_words(page, body, status) -> None:
    answer = page.browser("viewer").post(
        "/api/me/language", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "what"}


def test_a_body_without_end_is_cut_off(page) -> None:
    with socket.create_connection(("127.0.0.1", page.port)) as raw:
        raw.sendall(
            f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        raw.settimeout(5)
        try:
            for _ in range(20):
                raw.sendall(b"2000\r\n" + b"x" * 8192 + b"\r\n")
        except OSError:
            pass
        assert b" 413 " in raw.recv(200)


def test_a_form_of_many_fields_and_a_body_that_breaks_off_leave_no_traceback(page) -> None:
    answer = page.browser().post("/login", content="&".join(["a=1"] * 12))
    assert (answer.status_code, answer.json()["what"]) == (400, "malformed")
    with socket.create_connection(("127.0.0.1", page.port)) as raw:
        raw.sendall(
            f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
            "Content-Length: 100\r\n\r\nname=".encode()
        )
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(100):
            pass
    assert page.browser().get("/healthz").status_code == 200
    assert "Traceback" not in page.log.read_text()


def test_what_comes_from_elsewhere_fills_no_log(page) -> None:
    before = page.log.stat().st_size
    headers = {"Host": "h" * 7000, "Origin": "null"}
    browser = page.browser()
    answers = [browser.post("/" + "p" * 7000, headers=headers).status_code for _ in range(30)]
    assert answers == [403] * 30
    assert page.log.read_text().count(" foreign_host ") >= 1
    assert page.log.stat().st_size - before < 10_000


def test_an_address_has_so_many_connections_and_others_are_served(page) -> None:
    before = page.browser("viewer")
    assert before.get("/api/me").status_code == 200
    held = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(39)]
    more = socket.create_connection(("127.0.0.1", page.port))
    try:
        more.settimeout(5)
        assert not _is_open(more)
        other = socket.create_connection(("127.0.0.1", page.port), source_address=("127.0.0.2", 0))
        held.append(other)
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in other.recv(100)
        assert before.get("/api/me").status_code == 200
    finally:
        for each in (*held, more):
            each.close()


def _is_open(client: socket.socket) -> bool:
    try:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return bool(client.recv(10))
    except OSError:
        return False


def test_an_admin_adds_changes_and_disables_people(page) -> None:
    admin = page.browser("admin")

    def change(**what: str) -> tuple[int, str]:
        answer = admin.post("/api/users", json=what)
        return answer.status_code, answer.json().get("error", "")

    assert change(do="add", name="Kim 민수", role="operator", password="short")[0] == 400
    assert change(do="add", name="Kim 민수", role="operator", password="kim 민수 kim 민수")[0] == 400
    assert change(do="add", name="Kim 민수", role="operator", password=PASSWORD) == (200, "")
    assert "already" in change(do="add", name="KIM 민수", role="admin", password=PASSWORD)[1]
    token = page.token("kim 민수")
    assert change(do="role", name="Kim 민수", role="engineer", reason="new job")[0] == 200
    assert page.store.session(token) is None
    assert "last one who manages users" in change(do="disable", name="admin")[1]
    assert "last one who manages users" in change(do="role", name="admin", role="viewer")[1]
    token = page.token("Kim 민수")
    assert change(do="disable", name="Kim 민수")[0] == 200
    assert page.store.session(token) is None
    assert {"Kim 민수"} == {
        each["name"] for each in admin.get("/api/users").json()["users"] if each["is_disabled"]
    }
    newest = admin.get("/api/audit?limit=3").json()["rows"][0]
    assert (newest["about"], newest["result"]) == ("disable Kim 민수", "done")
    assert [row["why"] for row in page.audit() if row["object"] == "role Kim 민수"] == ["new job"] * 2
    assert not any(PASSWORD in str(row) for row in page.audit())


def test_a_revoked_session_is_out_at_once_and_one_s_own_password_ends_all_others(page) -> None:
    admin, viewer = page.browser("admin"), page.browser("viewer")
    assert viewer.get("/api/me").status_code == 200
    mine = next(each for each in admin.get("/api/sessions").json()["sessions"] if each["name"] == "viewer")
    for each in admin.get("/api/sessions").json()["sessions"]:
        if each["name"] == "viewer":
            assert admin.post("/api/sessions/revoke", json={"id": each["id"]}).status_code == 200
    assert viewer.get("/api/me").status_code == 401
    assert admin.post("/api/sessions/revoke", json={"id": mine["id"]}).status_code == 404
    one, two = page.browser("inspector"), page.browser("inspector")
    wrong = one.post("/api/me/password", json={"old": "no", "new": "another long password"})
    assert (wrong.status_code, wrong.json()["what"]) == (403, "wrong_password")
    answer = one.post("/api/me/password", json={"old": PASSWORD, "new": "another long password"})
    assert answer.status_code == 200
    assert (one.get("/api/me").status_code, two.get("/api/me").status_code) == (200, 401)


def test_too_many_acts_in_a_minute_are_refused(page) -> None:
    browser = page.browser("viewer")
    answers = [browser.post("/api/me/language", json={"language": "en"}).status_code for _ in range(62)]
    assert answers == [200] * 60 + [429] * 2
