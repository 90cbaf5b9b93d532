"""Where a call comes from, also behind proxies: only as far as they are trusted."""

from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import Scope


def client_address(scope: Scope, trusted_proxies: int) -> str | None:
    """Tell the address of a caller; None where the connection has none (a socket in a folder).

    Args:
        scope: of the request.
        trusted_proxies: how many proxies each request comes through, at least 0. Each appends to
            `X-Forwarded-For` who has called it; what stands before that a caller may have made up.
    """
    client = scope.get("client")
    peer: str | None = client[0] if client else None
    if trusted_proxies == 0:
        return peer
    told = ",".join(Headers(scope=scope).getlist("X-Forwarded-For")).split(",")
    if len(told) < trusted_proxies:
        return peer
    address = told[-trusted_proxies].strip()
    try:
        return str(ip_address(address))
    except ValueError:
        return peer


def network_of(address: str) -> str:
    """Give what one caller has at least: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address
