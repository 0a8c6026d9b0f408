"""Addresses of browsers. Pure."""

from __future__ import annotations

import ipaddress

_IPV6_PREFIX = 64


def network_of(address: str) -> str:
    """What is bounded as one: an IPv4 address, or an IPv6 network of /64, as a host can take all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))
