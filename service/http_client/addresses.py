"""Internet addresses: parsing as proxies write them, and telling public from private ones.

Pure. An IPv6 address that leads to an IPv4 address is judged by the IPv4 address.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

UNICAST = IPv6Network("2000::/3")
"""All unicast addresses that are assigned: https://www.iana.org/assignments/ipv6-address-space"""

NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 addresses in the last 32 bits, for IPv6-only networks (RFC 6052)."""

TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
"""Teredo and 6to4. They contain an IPv4 address, and are out of use."""


WITH_PORT = re.compile(r"\[(?P<bracketed>[^\]]*)\](?::[0-9]*)?|(?P<bare>[^\[\]]*):[0-9]*")
"""``[2001:db8::1]:443``, ``[2001:db8::1]`` and ``203.0.113.7:52341``."""


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a client in any form that proxies write, or ``None``.

    A port, brackets, quotes and the zone of an IPv6 address are dropped. An IPv4 address that is
    mapped into IPv6 is returned as IPv4.
    """
    text = text.strip().strip('"').strip()
    candidates = [text]
    if match := WITH_PORT.fullmatch(text):
        candidates.append(match["bracketed"] or match["bare"] or "")
    for candidate in candidates:
        try:
            found = ip_address(candidate.partition("%")[0])
        except ValueError:
            continue
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return mapped or found
    return None


def client(peer: str, forwarded_for: str, proxies: int) -> str:
    """Return the client's address behind ``proxies`` trusted proxies.

    That is the value which the outermost trusted proxy appended to ``X-Forwarded-For``. Where there
    is none or it is no address, it is ``peer``: an invented value must not pass for another client.
    """
    values = [value for each in forwarded_for.split(",") if (value := each.strip())]
    found = parsed(values[-proxies]) if 0 < proxies <= len(values) else None
    return str(found or parsed(peer) or peer)


def is_public(text: str) -> bool:
    """Whether the text is an address of the public internet."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and (
            address not in UNICAST or any(address in tunnel for tunnel in TUNNELS)
        ):
            return False
        address = inner or address
    # Python counts multicast addresses as global.
    return address.is_global and not address.is_multicast
