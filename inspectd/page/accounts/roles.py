"""Which role may do what: the one table of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from inspectd.teach.roles import ALLOWED, TeachAct


class Act(StrEnum):
    """What a person can do on the page. A closed set: it is a metric label."""

    VIEW = "view"
    EXPORT = "export"
    EXPLAIN = "explain"
    ORDER = "order"
    """Begin or end an order: the counter of parts starts anew."""
    GOLDEN_BEGIN = "golden_begin"
    GOLDEN_SHOW = "golden_show"
    GOLDEN_END = "golden_end"
    RECIPE_PREPARE = "recipe_prepare"
    RECIPE_UNPREPARE = "recipe_unprepare"
    RECIPE_ACTIVATE = "recipe_activate"
    RECIPE_SHADOW = "recipe_shadow"
    """Have a recipe score without a vote, beside the one in force."""
    RECIPE_UNSHADOW = "recipe_unshadow"
    RECIPE_PROMOTE = "recipe_promote"
    """Put the shadow in force."""
    RECIPE_ROLLBACK = "recipe_rollback"
    """Put in force again what was before."""
    TEACH_MARK = "teach_mark"
    TEACH_CONFIRM = "teach_confirm"
    TEACH_VOUCH = "teach_vouch"
    TEACH_WITHDRAW = "teach_withdraw"
    TEACH_WITHDRAW_ESCAPE = "teach_withdraw_escape"
    TEACH_BUILD = "teach_build"
    TEACH_REPORT = "teach_report"
    TEACH_PROPOSE = "teach_propose"
    TEACH_APPROVE = "teach_approve"
    AUDIT = "audit"
    USERS = "users"
    SESSIONS = "sessions"


class Role(StrEnum):
    """A person's role at the plant."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    INSPECTOR = "inspector"
    ENGINEER = "engineer"
    QUALITY = "quality"
    ADMIN = "admin"


class RoleRules(msgspec.Struct, frozen=True):
    """What a role may do, and how long a login of it lasts.

    Attributes:
        acts: that it may do.
        idle_seconds: without use for so long, the session may only look, until the password is given again.
        session_seconds: after so long the person logs in again, whatever happened.
    """

    acts: frozenset[Act]
    idle_seconds: float
    session_seconds: float


_GOLDEN: Final = frozenset({Act.GOLDEN_BEGIN, Act.GOLDEN_SHOW, Act.GOLDEN_END})
_RECIPES: Final = frozenset(
    {
        Act.RECIPE_PREPARE, Act.RECIPE_UNPREPARE, Act.RECIPE_ACTIVATE, Act.RECIPE_SHADOW, Act.RECIPE_UNSHADOW,
        Act.RECIPE_PROMOTE, Act.RECIPE_ROLLBACK,
    }
)  # fmt: skip
ELSEWHERE: Final = frozenset({TeachAct.ADOPT, TeachAct.GOLDEN})
"""Acts of teaching that take files of the line's host: its command line alone has them."""
_OPERATE: Final = frozenset({Act.VIEW, Act.ORDER, *_GOLDEN})
_INSPECT: Final = frozenset({*_OPERATE, Act.EXPORT, Act.EXPLAIN})
_SHIFT_SECONDS: Final = 12 * 3600.0


def _taught(role: Role) -> frozenset[Act]:
    """What a role may do in teaching: by teaching's own table."""
    return frozenset(
        Act(f"teach_{act}") for act, roles in ALLOWED.items() if act not in ELSEWHERE and role in roles
    )


_ALONE: Final = {
    # A panel on the wall looks for weeks without a touch.
    Role.VIEWER: RoleRules(frozenset({Act.VIEW}), 30 * 86_400.0, 30 * 86_400.0),
    Role.OPERATOR: RoleRules(_OPERATE, 1800.0, _SHIFT_SECONDS),
    Role.INSPECTOR: RoleRules(_INSPECT, 1800.0, _SHIFT_SECONDS),
    Role.ENGINEER: RoleRules(_INSPECT | _RECIPES, 1800.0, _SHIFT_SECONDS),
    Role.QUALITY: RoleRules(
        # It may take back what it signed.
        frozenset({Act.VIEW, Act.EXPORT, Act.EXPLAIN, Act.AUDIT, Act.RECIPE_ROLLBACK, *_GOLDEN}),
        1800.0,
        _SHIFT_SECONDS,
    ),
    # Who manages users can do nothing to the line.
    Role.ADMIN: RoleRules(frozenset({Act.VIEW, Act.AUDIT, Act.USERS, Act.SESSIONS}), 600.0, 8 * 3600.0),
}

ROLES: Final = {
    role: msgspec.structs.replace(rules, acts=rules.acts | _taught(role)) for role, rules in _ALONE.items()
}
