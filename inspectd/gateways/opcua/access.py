"""Who calls, and what he may: users, roles and rights, for asyncua."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.crypto.permission_rules import PermissionRuleset, User, UserRole
from asyncua.server.user_managers import UserManager

from inspectd.endpoint import Users
from inspectd.gateways.opcua.settings import USERS_COMMAND, PlantRole

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Name of the user whose request is answered: asyncua tells its method handlers nothing of him."""

CAME: ContextVar[float] = ContextVar("came")
"""When the request that is answered came, by the gateway's clock: it may have waited since for others of its
connection, which are answered one after the other."""

_RANK: Final = {role: rank for rank, role in enumerate(PlantRole)}

SERVICES: Final = frozenset(
    ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))
    for name in (
        "CreateSession", "CloseSession", "ActivateSession", "CloseSecureChannel", "GetEndpoints",
        "FindServers", "Read", "Browse", "TranslateBrowsePathsToNodeIds", "RegisterNodes", "UnregisterNodes",
        "CreateSubscription", "ModifySubscription", "DeleteSubscriptions", "TransferSubscriptions",
        "SetPublishingMode", "CreateMonitoredItems", "ModifyMonitoredItems", "DeleteMonitoredItems",
        "SetMonitoringMode", "Publish", "Republish", "Call",
    )
)  # fmt: skip
"""What is served at all: nobody writes a value or changes a node."""


class PlantUsers(UserManager):
    """Users by name and password; each has a role.

    Args:
        file: their password hashes.
        roles: the role of each; who has none cannot log in.
    """

    def __init__(self, file: Path, roles: dict[str, PlantRole]) -> None:
        """Read the file.

        Raises:
            InputError: it cannot be read, others may read it, or a line is not in its format.
        """
        self._users = Users(file, USERS_COMMAND)
        self._roles = roles

    def get_user(
        self, _server: object, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """The user of this name and password; None: there is none."""
        if username not in self._roles or password is None or not self._users.knows(username, password):
            return None
        return User(role=UserRole.User, name=username)

    def may(self, name: str, role: PlantRole) -> bool:
        """Whether a user has at least this role."""
        return name in self._roles and _RANK[self._roles[name]] >= _RANK[role]


class CallerRules(PermissionRuleset):
    """Lets through what is served, and keeps the caller's name for method handlers."""

    def check_validity(self, user: User, action_type: ua.NodeId, _body: object) -> bool:
        """Whether a request may go on."""
        CALLER.set(user.name or "")
        return action_type in SERVICES
