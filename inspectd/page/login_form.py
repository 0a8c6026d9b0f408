"""The login: HTML without script, in the languages of the page."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

_TEXTS: Final = {
    "en": {
        "title": "Log in", "name": "Name", "password": "Password", "send": "Log in",
        "wrong": "Name or password is wrong.",
        "wait": "Too many wrong passwords. Try again in {minutes} min.",
        "busy": "Many people log in at this moment. Try again.",
        "plain": "This connection is not encrypted: it works on this computer alone.",
        "nobody": "No user is set up yet. On the page's host: inspectd page user add NAME --role admin",
        "oidc": "Log in with the plant's account", "again": "Log in again",
        "out": "You are logged out here. The plant's own login may still be open.",
        "no_role": "Your account has no role on this page. Tell who looks after the plant's accounts.",
        "outside_name": "This account cannot log in here. Tell who looks after the page's users.",
        "outside_away": "The plant's login does not answer. Try again in a moment.",
        "not_confirmed": "The plant's login did not confirm it. Try again.",
        "often": "You log in too often. Try again in a minute.",
        "onward": "Go on to the page",
    },
    "ko": {
        "title": "로그인", "name": "이름", "password": "비밀번호", "send": "로그인",
        "wrong": "이름 또는 비밀번호가 올바르지 않습니다.",
        "wait": "비밀번호 오류가 너무 많습니다. {minutes}분 후에 다시 시도하십시오.",
        "busy": "지금 로그인이 많습니다. 다시 시도하십시오.",
        "plain": "암호화되지 않은 연결입니다. 이 컴퓨터에서만 쓸 수 있습니다.",
        "nobody": "아직 사용자가 없습니다. 서버에서 실행: inspectd page user add NAME --role admin",
        "oidc": "공장 계정으로 로그인", "again": "다시 로그인",
        "out": "로그아웃되었습니다. 공장 로그인은 아직 열려 있을 수 있습니다.",
        "no_role": "이 페이지에 대한 역할이 없습니다. 계정 담당자에게 알리십시오.",
        "outside_name": "이 계정으로는 로그인할 수 없습니다. 사용자 관리자에게 알리십시오.",
        "outside_away": "공장 로그인 서버가 응답하지 않습니다. 잠시 후 다시 시도하십시오.",
        "not_confirmed": "공장 로그인에서 확인되지 않았습니다. 다시 시도하십시오.",
        "often": "로그인이 너무 잦습니다. 1분 후에 다시 시도하십시오.",
        "onward": "페이지로 이동",
    },
}  # fmt: skip
_PAGE: Final = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - {line}</title>
<link rel="stylesheet" href="/assets/login.css">
</head>
<body>
<main>
<h1>{line}</h1>
<form method="post" action="/login">
{message}
{outside}<label for="name">{name}</label>
<input id="name" name="name" autocomplete="username" maxlength="40" required{at_name} value="{given}">
<label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password"
maxlength="200" required{at_password}>
<button type="submit">{send}</button>
</form>
{note}
</main>
</body>
</html>
"""


_CURSOR: Final = " autofocus"
_OUTSIDE: Final = '<a class="outside" href="{address}">{title}</a>\n'
_ADDRESSES: Final = {"oidc": "/login/oidc", "again": "/login"}
# Whom another site sends here has no session yet, as browsers see it: the page itself has to lead on.
_ONWARD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0;url={address}">
<title>{title}</title>
<link rel="stylesheet" href="/assets/login.css">
</head>
<body><main><a class="outside" href="{address}">{title}</a></main></body>
</html>
"""


class LoginForm:
    """The login of one page.

    Args:
        line: `PLANT/LINE`, its head.
        language: of who has chosen none.
        is_encrypted: browsers reach the page over TLS.
        outside: the login that others check, which is offered too: `oidc`, `again`, or empty.
    """

    def __init__(self, line: str, *, language: str, is_encrypted: bool, outside: str = "") -> None:
        self._line, self._language, self._is_encrypted = line, language, is_encrypted
        self._outside = outside

    def page(
        self, request: Request, message: str, *, status: int, given: str = "", minutes: int = 0
    ) -> HTMLResponse:
        """The form.

        Args:
            request: says which languages the browser takes.
            message: what went wrong, such as `wrong`, `wait`, `busy` or `nobody`; empty: nothing.
            status: of the answer.
            given: the name that was given.
            minutes: of `wait`.
        """
        chosen, outside = self._chosen(request), self._outside
        texts = _TEXTS[chosen]
        said = texts[message].format(minutes=minutes) if message else ""
        link = outside and _OUTSIDE.format(address=_ADDRESSES[outside], title=escape(texts[outside]))
        text = _PAGE.format(
            outside=link, language=chosen,
            title=texts["title"], name=texts["name"], password=texts["password"], send=texts["send"],
            line=escape(self._line), given=escape(given),
            at_name="" if given else _CURSOR, at_password=_CURSOR if given else "",  # what is to be typed
            message=f'<p class="message" role="alert">{escape(said)}</p>' if said else "",
            note="" if self._is_encrypted else f'<p class="note">{escape(texts["plain"])}</p>',
        )  # fmt: skip
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})

    def onward(self, request: Request, address: str = "/") -> HTMLResponse:
        """Leads whom others logged in, or sent here, to an address of the page."""
        texts = _TEXTS[self._chosen(request)]
        return HTMLResponse(
            _ONWARD.format(title=escape(texts["onward"]), address=address), 200, {"Cache-Control": "no-store"}
        )

    def _chosen(self, request: Request) -> str:
        """The first of a browser's languages that there is; else the plant's; else English."""
        accepted = request.headers.get("accept-language", "")
        preferred = [word.strip()[:2].lower() for word in accepted[:200].split(",")]
        return next((word for word in [*preferred, self._language] if word in _TEXTS), "en")
