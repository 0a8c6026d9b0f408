"""Logins that others check: a real OpenID Connect provider, and a reverse proxy; each role, each lie."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from support.oidc_provider import CLIENT, SECRET, OidcServer
from support.page_process import NOTHING, PASSWORD, PageProcess
from support.page_roles import MAY, assert_each_may_what_it_may_and_no_more

from inspectd.errors import ConfigError
from inspectd.page.accounts.outside import OutsidePerson
from inspectd.page.accounts.roles import Role
from inspectd.page.settings import load

pytestmark = pytest.mark.daemon

PROXY_SECRET = "what only the proxy knows"
ROLES = ", ".join(f'"plant-{role}={role}"' for role in MAY)


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcServer]:
    server = OidcServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def page(provider, tmp_path_factory) -> Iterator[PageProcess]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "oidc.secret").write_text(SECRET)
    (folder / "proxy.secret").write_text(PROXY_SECRET)
    tables = f"""
[oidc]
issuer = "{provider.issuer}"
client_id = "{CLIENT}"
client_secret_file = "oidc.secret"
origin = "ORIGIN"
roles_claim = "realm_access.roles"
roles = [{ROLES}]
"""
    process = PageProcess(folder, folder / "no-line", tables, start=False)
    process.file.write_text(process.file.read_text().replace("ORIGIN", process.origin))
    process.start()
    yield process
    process.close()


@pytest.fixture
def log_in(page, provider) -> Iterator[Callable[..., tuple[httpx.Client, httpx.Response]]]:
    """Logs somebody in as a browser does that follows the provider's way; the last answer of the page."""

    def go(name: str, *roles: str, **lies: object) -> tuple[httpx.Client, httpx.Response]:
        provider.claims = {
            "sub": f"id-{name}", "preferred_username": name, "realm_access": {"roles": list(roles)},
        }  # fmt: skip
        provider.lies = lies
        browser = page.browser()
        sent = browser.get("/login/oidc")
        assert sent.status_code == 303, sent.text
        back = httpx.get(sent.headers["location"], verify=NOTHING)
        return browser, browser.get(back.headers["location"])

    yield go
    provider.lies, provider.header, provider.signs_with = {}, {}, provider.key
    page.close_browsers()


def test_somebody_with_a_group_is_logged_in_in_its_role(page, log_in, provider) -> None:
    browser, answer = log_in("anna", "plant-quality", "something else")
    assert answer.status_code == 200
    assert 'content="0;url=/"' in answer.text
    me = browser.get("/api/me").json()
    assert (me["name"], me["role"], me["login"]) == ("anna", "quality", "oidc")
    assert provider.asked[-1].keys() >= {"state", "nonce", "code_challenge"}
    assert page.audit()[-1]["who"] == "anna"
    # Their password is not this page's: nobody gives, or guesses, one here.
    assert browser.post("/login", data={"name": "anna", "password": ""}).status_code == 401
    admin = page.browser("admin")
    changed = admin.post("/api/users", json={"do": "password", "name": "anna", "password": "x" * 20})
    assert changed.status_code == 400
    # Another role there is another role here, and ends what was logged in.
    _, answer = log_in("anna", "plant-viewer")
    assert answer.status_code == 200
    assert browser.get("/api/me").status_code == 401
    assert admin.post("/api/users", json={"do": "disable", "name": "anna"}).status_code == 200
    _, answer = log_in("anna", "plant-viewer")
    assert answer.status_code == 403


def test_each_role_of_the_provider_may_what_it_may_and_no_more(page, log_in) -> None:
    assert_each_may_what_it_may_and_no_more({role: log_in(f"of-{role}", f"plant-{role}")[0] for role in MAY})


@pytest.mark.parametrize(
    ("name", "roles", "lies"),
    [
        ("nobody", (), {}),
        ("nobody", ("plant-king",), {}),
        ("kim", ("plant-admin",), {"iss": "https://other.example"}),
        ("kim", ("plant-admin",), {"aud": "another-client"}),
        ("kim", ("plant-admin",), {"aud": [CLIENT, "another-client"]}),
        ("kim", ("plant-admin",), {"nonce": "another"}),
        ("kim", ("plant-admin",), {"nonce": None}),
        ("kim", ("plant-admin",), {"exp": int(time.time()) - 3600}),
        ("kim", ("plant-admin",), {"exp": None}),
        ("kim", ("plant-admin",), {"sub": None}),
        ("kim", ("plant-admin",), {"sub": "\ud800"}),
        ("kim", ("plant-admin",), {"preferred_username": 7}),
        ("kim", ("plant-admin",), {"preferred_username": "\ud800"}),
        ("kim", ("plant-admin",), {"at_hash": 7}),
        ("a\nb", ("plant-admin",), {}),
        ("viewer", ("plant-admin",), {}),  # the name of somebody who logs in by a password
    ],
)
def test_who_is_not_confirmed_or_has_no_role_is_not_logged_in(page, log_in, name, roles, lies) -> None:
    browser, answer = log_in(name, *roles, **lies)
    assert answer.status_code == 403
    assert 'role="alert"' in answer.text
    assert browser.get("/api/me").status_code == 401
    assert page.audit()[-1]["result"].startswith("refused: ")


def test_a_session_ends_with_the_provider_or_the_entry_of_the_table_that_its_role_is_by(
    page, log_in, provider
) -> None:
    whole = page.file.read_text()
    browser, _ = log_in("noor", "plant-admin")
    others = [
        whole.replace(provider.issuer, f"{provider.issuer}-other"),
        whole.replace('"plant-admin=admin"', '"plant-admins=admin"'),
        whole.replace("realm_access.roles", "groups"),
        whole.partition("[oidc]")[0],
    ]
    for text in [*others, whole]:
        page.kill()
        page.file.write_text(text)
        page.start()
        assert browser.get("/api/me").status_code == (200 if text == whole else 401), text


def test_who_comes_from_another_provider_gets_the_name_when_an_admin_has_freed_it(
    page, log_in, provider
) -> None:
    page.store.admit(OutsidePerson("gale", Role.ENGINEER, "oidc https://old.example id-gale"))
    assert log_in("gale", "plant-engineer")[1].status_code == 403
    refused = page.audit()[-1]["result"]
    assert "of oidc https://old.example" in refused
    assert "`user free`" in refused
    admin = page.browser("admin")

    def change(do: str, name: str = "gale") -> int:
        return admin.post("/api/users", json={"do": do, "name": name}).status_code

    assert [change("free", name) for name in ("viewer", "ghost")] == [400, 400]
    assert [change(do) for do in ("disable", "free", "enable", "free")] == [200, 400, 200, 200]
    last = page.audit()[-1]
    assert (last["object"], last["old"], last["new"]) == ("free gale", "gale engineer", None)
    assert log_in("gale", "plant-engineer")[1].status_code == 200


def test_a_name_that_the_provider_changes_makes_nobody_a_second_person(page, log_in, provider) -> None:
    log_in("eva", "plant-engineer")
    browser, _ = log_in("eva", "plant-quality", preferred_username="eve")
    me = browser.get("/api/me").json()
    assert (me["name"], me["role"]) == ("eva", "quality")
    _, answer = log_in("eva", "plant-quality", sub="id-another")
    assert answer.status_code == 403


def test_an_open_login_of_the_provider_lifts_no_lock_of_a_page_that_was_left_alone(
    page, log_in, provider
) -> None:
    now = int(time.time())
    old, new = {"auth_time": now - 3 * 3600}, {"auth_time": now}

    def leave_alone() -> None:
        with sqlite3.connect(page.folder / "store" / "accounts.sqlite") as accounts:
            accounts.execute("UPDATE sessions SET used_ms = used_ms - 3600000")
        accounts.close()

    def follow(browser: httpx.Client, sent: httpx.Response, **lies: object) -> httpx.Response:
        provider.lies = lies
        return browser.get(httpx.get(sent.headers["location"], verify=NOTHING).headers["location"])

    browser, answer = log_in("quinn", "plant-quality", **old)
    assert answer.status_code == 200  # whoever was never here has left nothing alone
    leave_alone()
    assert browser.post("/logout").status_code == 303  # which ends the lock, and not what it is for
    browser, answer = log_in("quinn", "plant-quality", **old)
    assert answer.status_code == 303
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    for cut in (old, {}):  # and no `auth_time` at all
        assert follow(browser, browser.get("/login/oidc?again"), **cut).status_code == 403
    assert browser.get("/api/me").status_code == 401
    assert follow(browser, browser.get("/login/oidc?again"), **new).status_code == 200
    assert not browser.get("/api/me").json()["is_idle"]
    # It was given since that browser was left alone: for the next one the open login is enough.
    assert log_in("quinn", "plant-quality", **new)[1].status_code == 200


def test_a_token_that_another_signed_is_none_and_new_keys_of_the_provider_are_taken(
    page, log_in, provider
) -> None:
    browser, _ = log_in("lee", "plant-operator")
    assert browser.get("/api/me").status_code == 200
    provider.signs_with = RSAKey.generate_key(2048, {"kid": provider.key.kid})
    _, answer = log_in("lee", "plant-operator")
    assert answer.status_code == 403
    provider.change_keys()
    end = time.monotonic() + 20  # keys are asked for again at most every ten seconds
    while log_in("lee", "plant-operator")[1].status_code != 200:
        page.close_browsers()
        assert time.monotonic() < end
        time.sleep(1)


def test_a_login_that_another_browser_began_is_nobody_s(page, provider) -> None:
    provider.claims = {
        "sub": "m", "preferred_username": "mallory", "realm_access": {"roles": ["plant-viewer"]}
    }  # fmt: skip
    mallory, victim = page.browser(), page.browser()
    back = httpx.get(mallory.get("/login/oidc").headers["location"], verify=NOTHING).headers["location"]
    assert victim.get(back).status_code == 403
    assert victim.get("/api/me").status_code == 401
    victim.get("/login/oidc")  # with a state of its own
    assert victim.get(back).status_code == 403
    assert mallory.get(back).status_code == 200
    assert mallory.get(back).status_code == 403  # a second time
    page.close_browsers()


def test_strangers_fill_neither_the_audit_file_nor_the_log(page) -> None:
    stranger = page.browser(address="127.0.0.7")
    for _ in range(30):
        assert stranger.get("/login/oidc/return?state=1&code=2").status_code == 403
    assert len([record for record in page.audit() if record["door"] == "page 127.0.0.7"]) == 5
    assert page.log.read_text().count("login_refused") < 30
    assert stranger.post("/login", data={"name": "admin", "password": PASSWORD}).status_code == 303
    page.close_browsers()


def test_the_login_offers_the_provider_and_a_password_goes_on_to_work(page) -> None:
    browser = page.browser()
    assert 'href="/login/oidc"' in browser.get("/login").text
    assert browser.post("/login", data={"name": "admin", "password": PASSWORD}).status_code == 303
    assert browser.get("/api/me").json()["login"] == "password"


def test_a_provider_that_is_away_is_said(tmp_path) -> None:
    tables = (
        '[oidc]\nissuer = "http://127.0.0.1:9"\nclient_id = "a"\norigin = "http://127.0.0.1:1"\n'
        'roles = ["a=viewer"]\n'
    )
    page = PageProcess(tmp_path, tmp_path / "no-line", tables)
    try:
        answer = page.browser().get("/login/oidc")
        assert answer.status_code == 503
        assert "does not answer" in answer.text
        end = time.monotonic() + 10  # a thread of its own writes the log
        while "login_unavailable" not in page.log.read_text():
            assert time.monotonic() < end, page.log.read_text()
            time.sleep(0.05)
    finally:
        page.close()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory) -> Iterator[PageProcess]:
    folder = tmp_path_factory.mktemp("proxied")
    (folder / "proxy.secret").write_text(PROXY_SECRET)
    tables = f"""
[proxy]
addresses = ["127.0.0.8"]
origin = "https://page.plant.example"
user_header = "X-User"
roles_header = "X-Groups"
secret_file = "proxy.secret"
roles = [{ROLES}, "품질=quality"]
"""
    process = PageProcess(folder, folder / "no-line", tables)
    yield process
    process.close()


def proxy(
    page: PageProcess,
    name: str | bytes,
    groups: str | bytes,
    *,
    secret: str = PROXY_SECRET,
    address: str = "127.0.0.8",
) -> httpx.Client:
    """A browser behind the proxy, which is at that address."""
    headers = {
        "X-User": name, "X-Groups": groups, "X-Inspectd-Proxy": secret, "X-Forwarded-For": "10.1.2.3",
        "X-Forwarded-Proto": "https", "Origin": "https://page.plant.example",
    }  # fmt: skip
    return httpx.Client(
        base_url=page.origin,
        headers=headers,
        timeout=10,
        transport=httpx.HTTPTransport(local_address=address, verify=NOTHING),
    )


def enter(browser: httpx.Client) -> int:
    """Log in, and take the cookie along as a browser on TLS does."""
    answer = browser.get("/login")
    cookie = answer.headers.get("set-cookie", "").partition(";")[0]
    if cookie:
        browser.headers["Cookie"] = cookie
    return answer.status_code


def test_each_role_of_the_proxy_may_what_it_may_and_no_more(proxied) -> None:
    with ExitStack() as opened:
        browsers = {}
        for role in MAY:
            browser = opened.enter_context(proxy(proxied, f"of-{role}", f"something, plant-{role}"))
            assert enter(browser) == 200
            assert browser.get("/api/me").json()["login"] == "proxy"
            browsers[role] = browser
        assert_each_may_what_it_may_and_no_more(browsers)


def test_names_and_groups_of_the_proxy_are_utf_8(proxied) -> None:
    for name, said in (("김철수", "김철수".encode()), ("José", "José".encode()), ("Andrè", b"Andr\xe8")):
        with proxy(proxied, said, "품질".encode()) as browser:
            assert enter(browser) == 200
            me = browser.get("/api/me").json()
            assert (me["name"], me["role"]) == (name, "quality")


def test_only_the_proxy_itself_is_believed(proxied) -> None:
    for wrong in ({"secret": secrets.token_hex(8)}, {"address": "127.0.0.9"}):
        with proxy(proxied, "kim", "plant-admin", **wrong) as other:
            enter(other)
            assert other.get("/api/me").status_code == 401
    with proxy(proxied, "kim", "no-group-of-this-page") as browser:
        assert enter(browser) == 403
        assert browser.get("/api/me").status_code == 401


def test_whom_the_proxy_logged_out_or_changed_is_so_at_once(proxied) -> None:
    with proxy(proxied, "lee", "plant-engineer") as browser:
        enter(browser)
        assert browser.get("/api/me").json()["role"] == "engineer"
        for changed in ({"X-Groups": "plant-viewer"}, {"X-User": "park"}, {"X-User": ""}, {"X-Groups": ""}):
            assert browser.get("/api/me", headers=changed).status_code == 401, changed
        assert browser.get("/api/me").status_code == 200
        answer = browser.post("/logout")
        assert answer.headers["location"] == "/login?out"
        assert 'href="/login"' in browser.get("/login?out").text  # it is not logged in again by itself


def test_who_comes_by_the_proxy_again_and_again_begins_no_session_each_time(proxied) -> None:
    def sessions(name: str) -> int:
        return sum(each.user.name == name for each in proxied.store.sessions())

    foreign = {"Sec-Fetch-Site": "cross-site"}
    with proxy(proxied, "noor", "plant-viewer") as browser:
        answer = browser.get("/login", headers=foreign)  # a link, or a picture, of another site
        assert 'content="0;url=/login"' in answer.text
        assert sessions("noor") == 0
        assert [enter(browser), browser.get("/login").status_code] == [200, 303]
        assert sessions("noor") == 1
    records = len(proxied.audit())
    with proxy(proxied, "program", "plant-viewer") as program:
        assert [program.get("/login").status_code for _ in range(70)].count(429) == 10
        assert len(proxied.audit()) == records + 60


def test_settings_that_are_not_whole_are_said(tmp_path) -> None:
    def problems(text: str) -> set[str]:
        file: Path = tmp_path / "page.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as found:
            load(file)
        return {problem.partition(":")[0] for problem in found.value.problems}

    assert problems('[proxy]\nuser_header = "X-User"') == {
        "proxy.addresses", "proxy.roles_header", "proxy.roles", "proxy.secret_file",
    }  # fmt: skip
    assert problems('[oidc]\nissuer = "http://plant.example"\nscope = "profile"\nroles = ["a=king"]') == {
        "oidc.issuer", "oidc.origin", "oidc.client_id", "oidc.scope", "oidc.roles[0]",
    }  # fmt: skip
    assert problems('[oidc]\nclient_id = "a"') == {"oidc.issuer"}
    for wrong in ("https://[bad", "https://plant.example:99999"):
        named = 'client_id = "a"\norigin = "https://plant.example"\nroles = ["a=viewer"]'
        assert problems(f'[oidc]\nissuer = "{wrong}"\n{named}') == {"oidc.issuer"}
