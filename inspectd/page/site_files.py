"""The files that a site opens when it starts, for whoever asks beforehand whether it can."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from inspectd.page.listening import tls_of
from inspectd.page.site import SiteSettings, provider_of, proxy_of


def openers(settings: SiteSettings) -> list[Callable[[], object]]:
    """Each opens some of them, and raises `InputError` where they cannot be used."""
    return [
        partial(tls_of, settings.server),
        partial(proxy_of, settings.proxy),
        partial(provider_of, settings.oidc),
    ]
