"""The login: HTML without script, in the languages of the page."""

from __future__ import annotations

from html import escape
from typing import Final

_TEXTS: Final = {
    "en": {
        "title": "Log in", "name": "Name", "password": "Password", "send": "Log in",
        "wrong": "Name or password is wrong.",
        "wait": "Too many wrong passwords. Try again in {minutes} min.",
        "busy": "Many people log in at this moment. Try again.",
        "plain": "This connection is not encrypted: it works on this computer alone.",
        "nobody": "No user is set up yet. On the page's host: inspectd page user add NAME --role admin",
    },
    "ko": {
        "title": "로그인", "name": "이름", "password": "비밀번호", "send": "로그인",
        "wrong": "이름 또는 비밀번호가 올바르지 않습니다.",
        "wait": "비밀번호 오류가 너무 많습니다. {minutes}분 후에 다시 시도하십시오.",
        "busy": "지금 로그인이 많습니다. 다시 시도하십시오.",
        "plain": "암호화되지 않은 연결입니다. 이 컴퓨터에서만 쓸 수 있습니다.",
        "nobody": "아직 사용자가 없습니다. 서버에서 실행: inspectd page user add NAME --role admin",
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
<label for="name">{name}</label>
<input id="name" name="name" autocomplete="username" maxlength="40" required autofocus value="{given}">
<label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="200" required>
<button type="submit">{send}</button>
</form>
{note}
</main>
</body>
</html>
"""


def login_page(
    line: str,
    *,
    accepted: str,
    language: str,
    is_encrypted: bool,
    message: str = "",
    given: str = "",
    minutes: int = 0,
) -> str:
    """The page.

    Args:
        line: `PLANT/LINE`, its head.
        accepted: the browser's Accept-Language.
        language: where that says none of the page's languages.
        is_encrypted: else the page says that it is not.
        message: what went wrong: `wrong`, `wait`, `busy` or `nobody`; empty: nothing.
        given: the name that was given.
        minutes: of `wait`.
    """  # fmt: skip
    chosen = next((word for word in _preferred(accepted) if word in _TEXTS), language)
    texts = _TEXTS.get(chosen, _TEXTS["en"])
    said = texts[message].format(minutes=minutes) if message else ""
    return _PAGE.format(
        language=chosen if chosen in _TEXTS else "en",
        title=texts["title"], name=texts["name"], password=texts["password"], send=texts["send"],
        line=escape(line), given=escape(given),
        message=f'<p class="message" role="alert">{escape(said)}</p>' if said else "",
        note="" if is_encrypted else f'<p class="note">{escape(texts["plain"])}</p>',
    )  # fmt: skip


def _preferred(accepted: str) -> list[str]:
    return [word.strip()[:2].lower() for word in accepted[:200].split(",")]
