"""Settings of logins that the page does not check itself: a reverse proxy's, and OpenID Connect's."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from inspectd.config import Settings
from inspectd.page.accounts.roles import Role

_ROLES_HELP: Final = (
    'What gives which role, as "VALUE=ROLE", such as "plant-quality=quality"; the first that fits counts.'
)
_HEADER: Final = r"^([A-Za-z0-9-]{1,64})?\Z"


class PageProxy(Settings, frozen=True, kw_only=True):
    """A reverse proxy before the page, which brings TLS and says whose request it is; off unless named."""

    addresses: Annotated[
        tuple[str, ...],
        Meta(description="IP addresses of the proxy: the only ones whose X-Forwarded-... headers count."),
    ] = ()
    origin: Annotated[
        str, Meta(description="What browsers call the page: https://HOST or https://HOST:PORT.")
    ] = ""
    user_header: Annotated[
        str,
        Meta(
            pattern=_HEADER,
            examples=["X-Forwarded-User"],
            description="Header in which the proxy names who is logged in there. Empty: none does.",
        ),
    ] = ""
    roles_header: Annotated[
        str,
        Meta(
            pattern=_HEADER,
            examples=["X-Forwarded-Groups"],
            description="Header with that person's groups, parted by commas.",
        ),
    ] = ""
    secret_file: Annotated[
        str | None,
        Meta(
            description="File with what the proxy sends as X-Inspectd-Proxy: other programs do not know it."
        ),
    ] = None
    roles: Annotated[tuple[str, ...], Meta(description=_ROLES_HELP)] = ()


class PageOidc(Settings, frozen=True, kw_only=True):
    """Login at the plant's OpenID Connect provider, beside the page's own; off unless an issuer is named."""

    issuer: Annotated[
        str, Meta(description="The provider, such as https://login.plant.example/realms/plant. Empty: none.")
    ] = ""
    client_id: Annotated[str, Meta(description="What the provider calls this page.")] = ""
    client_secret_file: Annotated[
        str | None, Meta(description="File with the client's secret. Unset: a public client.")
    ] = None
    origin: Annotated[
        str,
        Meta(description="What browsers call the page; they are sent back to ORIGIN/login/oidc/return."),
    ] = ""
    scope: Annotated[str, Meta(description="What is asked for; openid is part of it.")] = "openid profile"
    name_claim: Annotated[str, Meta(min_length=1, description="Claim that names the person.")] = (
        "preferred_username"
    )
    roles_claim: Annotated[
        str, Meta(min_length=1, description="Claim with groups or roles; a.b: b within a.")
    ] = "groups"
    roles: Annotated[tuple[str, ...], Meta(description=_ROLES_HELP)] = ()
    ca_file: Annotated[
        str | None, Meta(description="PEM file of who signed the provider's certificate. Unset: the host's.")
    ] = None


def entry_by(table: Collection[str], values: Collection[str]) -> str | None:
    """The entry of the table that gives somebody with these groups a role: the first; None: none does."""
    return next((entry for entry in table if entry.rpartition("=")[0] in values), None)


def role_by(entry: str) -> Role:
    """The role that an entry of a table gives."""
    return Role(entry.rpartition("=")[2])


def given_by(oidc: PageOidc, entry: str) -> str:
    """What a role is by: the provider, the claim, and the entry of the table."""
    return f"{oidc.issuer} {oidc.roles_claim} {entry}"


def proxy_problems(proxy: PageProxy) -> Iterator[str]:
    """What is wrong with the settings of a proxy."""
    for index, text in enumerate(proxy.addresses):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            yield f"proxy.addresses[{index}]: got {text!r}, expected an IP address such as 127.0.0.1"
    if bool(proxy.addresses) != bool(proxy.origin):
        yield "proxy.addresses, proxy.origin: one is missing, expected both or neither"
    if proxy.origin and not _is_origin(proxy.origin):
        yield f"proxy.origin: got {proxy.origin!r}, expected https://HOST or https://HOST:PORT and no path"
    if proxy.user_header:
        needed = {"addresses": proxy.addresses, "roles_header": proxy.roles_header, "roles": proxy.roles}
        for name, value in {**needed, "secret_file": proxy.secret_file}.items():
            if not value:
                yield f"proxy.{name}: is missing, expected it with proxy.user_header"
    yield from _role_problems("proxy", proxy.roles)


def oidc_problems(oidc: PageOidc, proxy: PageProxy) -> Iterator[str]:
    """What is wrong with the settings of a provider."""
    if not oidc.issuer:
        if oidc.client_id or oidc.roles:
            yield "oidc.issuer: is missing, expected the provider's address"
        return
    if not _is_safe(oidc.issuer):
        yield f"oidc.issuer: got {oidc.issuer!r}, expected https://HOST/..."
    if not oidc.origin or oidc.origin != _origin_of(oidc.origin) or not _is_safe(oidc.origin):
        yield f"oidc.origin: got {oidc.origin!r}, expected https://HOST or https://HOST:PORT and no path"
    elif proxy.origin and oidc.origin != proxy.origin:
        yield f"oidc.origin: got {oidc.origin!r}, expected that of the proxy, {proxy.origin!r}"
    for name in ("client_id", "roles"):
        if not getattr(oidc, name):
            yield f"oidc.{name}: is missing, expected it with oidc.issuer"
    if "openid" not in oidc.scope.split():
        yield f"oidc.scope: got {oidc.scope!r}, expected openid among its words"
    yield from _role_problems("oidc", oidc.roles)


def _role_problems(table: str, roles: Collection[str]) -> Iterator[str]:
    for index, entry in enumerate(roles):
        value, _, role = entry.rpartition("=")
        if not value or role not in set(Role):
            known = ", ".join(Role)
            yield f'{table}.roles[{index}]: got {entry!r}, expected "VALUE=ROLE" with one of {known}'


def _is_origin(text: str) -> bool:
    return text.startswith("https://") and text == _origin_of(text)


def _origin_of(text: str) -> str | None:
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.hostname else None


def is_web_address(address: object) -> bool:
    """Whether it is one that can be asked."""
    if not isinstance(address, str):
        return False
    try:
        parts = urlsplit(address)
        return parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only programs of this host can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_safe(address: str) -> bool:
    """Over TLS, or within this host."""
    if not is_web_address(address):
        return False
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
