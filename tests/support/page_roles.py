"""Which role may do what on the page, and what each of its addresses asks for: as it was agreed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx

from inspectd.page.accounts.roles import Act

GOLDEN = {"golden_begin", "golden_show", "golden_end"}
RECIPES = {
    "recipe_prepare", "recipe_unprepare", "recipe_activate", "recipe_shadow", "recipe_unshadow",
    "recipe_promote", "recipe_rollback",
}  # fmt: skip
MAY = {
    "viewer": {"view"},
    "operator": {"view", "order", "teach_mark"} | GOLDEN,
    "inspector": {"view", "order", "export", "explain", "teach_mark", "teach_confirm", "teach_withdraw"}
    | GOLDEN,
    "engineer": {
        "view", "order", "export", "explain", "teach_mark", "teach_build", "teach_report", "teach_propose",
    } | GOLDEN | RECIPES,
    "quality": {
        "view", "export", "explain", "audit", "recipe_rollback", "teach_mark", "teach_confirm", "teach_vouch",
        "teach_withdraw", "teach_withdraw_escape", "teach_report", "teach_approve",
    } | GOLDEN,
    "admin": {"view", "audit", "users", "sessions"},
}  # fmt: skip
SHA256 = "ab" * 32

ADDRESSES = {
    ("GET", "/api/me"): "view",
    ("GET", "/api/line"): "view",
    ("GET", "/api/recipes"): "view",
    ("GET", "/api/golden"): "view",
    ("GET", "/api/events"): "view",
    ("GET", "/api/watch"): "view",
    ("GET", "/api/teach"): "view",
    ("GET", "/api/teach/job"): "view",
    ("GET", f"/api/teach/reports/{SHA256}"): "view",
    ("GET", f"/api/teach/pictures/{SHA256}"): "view",
    ("GET", f"/api/teach/shown/{SHA256}"): "view",
    ("GET", "/api/strip/1/1"): "view",
    ("GET", "/api/verdicts"): "view",
    ("GET", "/api/names"): "view",
    ("GET", "/api/trends?from_ms=0&to_ms=1"): "view",
    ("GET", "/api/parts/1/1"): "view",
    ("GET", "/api/parts/1/1/picture"): "view",
    ("GET", "/api/parts/1/1/heatmap"): "view",
    ("GET", "/api/verdicts.csv"): "export",
    ("POST", "/api/parts/1/1/explain"): "explain",
    ("POST", "/api/me/language"): "view",
    ("POST", "/api/me/password"): "view",
    ("POST", "/api/me/unlock"): "view",
    ("GET", "/api/users"): "users",
    ("POST", "/api/users"): "users",
    ("GET", "/api/sessions"): "sessions",
    ("POST", "/api/sessions/revoke"): "sessions",
    ("GET", "/api/audit"): "audit",
    ("POST", "/api/acts/order_begin"): "order",
    ("POST", "/api/acts/order_end"): "order",
    ("POST", "/api/acts/teach_cancel"): "teach_build",
    **{("POST", f"/api/acts/{act}"): act for act in GOLDEN | RECIPES},
    **{
        ("POST", f"/api/acts/{act}"): act
        for act in Act
        if act.startswith("teach_") and act is not Act.TEACH_WITHDRAW_ESCAPE  # the desk tells it apart
    },
}


def assert_each_may_what_it_may_and_no_more(browsers: Mapping[str, httpx.Client]) -> None:
    """Ask for every address in the browser of every role; side by side, as there is no line that answers."""
    with ThreadPoolExecutor(len(MAY)) as asking:
        assert [*asking.map(lambda role: _asserted(browsers[role], role), MAY)] == [*MAY]


def _asserted(browser: httpx.Client, role: str) -> str:
    for (method, address), act in ADDRESSES.items():
        # A body that nobody takes: whoever may gets as far as being told that it is wrong.
        answer = browser.request(method, address, json={"wrong": 1} if method == "POST" else None)
        what = answer.json().get("what") if answer.status_code >= 400 else None
        if act in MAY[role]:
            assert what not in {"role", "login", "fault", "origin"}, (role, address, answer.text)
        else:
            assert (answer.status_code, what) == (403, "role"), (role, address)
    return role
