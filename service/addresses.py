"""Which internet addresses belong to the public, and which to this machine or its network.

Pure. An IPv6 address that leads to an IPv4 address is judged by that one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

UNICAST = IPv6Network("2000::/3")
"""All that is given out: https://www.iana.org/assignments/ipv6-address-space"""

NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address in its last 32 bits, for networks that have IPv6 only (RFC 6052)."""

TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
"""Teredo and 6to4: an IPv4 address inside, and nobody is reached through them any more."""


def is_public(text: str) -> bool:
    """Whether anybody on the internet may be reached there. False for what is no address."""
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
    # To Python, multicast is global.
    return address.is_global and not address.is_multicast
