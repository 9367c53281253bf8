"""Public is what anybody may be sent to, in whatever notation it comes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.addresses import is_public

CLOSED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)

CLOSED_6 = (
    "::/128",
    "::1/128",
    "100::/64",
    "64:ff9b:1::/48",
    "2001::/32",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)


def inside(networks: tuple[str, ...]) -> st.SearchStrategy[int]:
    parsed = [ip_network(network) for network in networks]
    return st.one_of(
        st.integers(int(network[0]), int(network[0]) + network.num_addresses - 1)
        for network in parsed
    )


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "172.32.0.1", "2606:4700:4700::1111", "64:ff9b::1.1.1.1",
     "::ffff:1.1.1.1"],
)  # fmt: skip
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(inside(CLOSED))
def test_an_ipv4_address_of_a_private_or_special_network_is_not(number: int) -> None:
    assert not is_public(str(IPv4Address(number)))


@given(inside(CLOSED), st.sampled_from(["::ffff:0:0", "64:ff9b::", "::"]))
def test_nor_is_it_inside_of_an_ipv6_address(number: int, prefix: str) -> None:
    assert not is_public(str(IPv6Address(int(IPv6Address(prefix)) + number)))


@given(st.integers(0, 2**32 - 1))
def test_no_6to4_address_is_public_whatever_is_inside(number: int) -> None:
    assert not is_public(str(IPv6Address((0x2002 << 112) | (number << 80))))


@given(inside(CLOSED_6))
def test_an_ipv6_address_of_a_private_or_special_network_is_not(number: int) -> None:
    assert not is_public(str(IPv6Address(number)))


@given(st.integers(0, 2**128 - 1))
def test_nothing_is_public_that_is_not_given_out(number: int) -> None:
    address = IPv6Address(number)
    if is_public(str(address)):
        leads_to_ipv4 = address.ipv4_mapped or address in IPv6Network("64:ff9b::/96")
        assert leads_to_ipv4 or address in IPv6Network("2000::/3")


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.1.1.1/32", "fe80::1%eth0"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)
