"""Public addresses, and addresses in the notations of proxies."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http_client.addresses import client, is_public, parsed

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

LEADING_TO_IPV4 = ("::ffff:0:0", "64:ff9b::", "::")


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
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("network", CLOSED)
def test_ends_of_a_private_or_special_ipv4_network_are_not_public(network: str) -> None:
    addresses = IPv4Network(network)
    for address in (addresses[0], addresses[-1]):
        assert not is_public(str(address))
        for prefix in LEADING_TO_IPV4:
            assert not is_public(str(IPv6Address(prefix) + int(address)))


@pytest.mark.parametrize("network", CLOSED_6)
def test_ends_of_a_private_or_special_ipv6_network_are_not_public(network: str) -> None:
    addresses = IPv6Network(network)
    assert not is_public(str(addresses[0]))
    assert not is_public(str(addresses[-1]))


@given(inside(CLOSED))
def test_private_and_special_ipv4_addresses_are_not_public(number: int) -> None:
    assert not is_public(str(IPv4Address(number)))


@given(inside(CLOSED), st.sampled_from(LEADING_TO_IPV4))
def test_private_ipv4_addresses_inside_ipv6_are_not_public(number: int, prefix: str) -> None:
    assert not is_public(str(IPv6Address(int(IPv6Address(prefix)) + number)))


@given(st.integers(0, 2**32 - 1))
def test_6to4_addresses_are_not_public(number: int) -> None:
    assert not is_public(str(IPv6Address((0x2002 << 112) | (number << 80))))


@given(inside(CLOSED_6))
def test_private_and_special_ipv6_addresses_are_not_public(number: int) -> None:
    assert not is_public(str(IPv6Address(number)))


@given(st.integers(0, 2**128 - 1))
def test_unassigned_addresses_are_not_public(number: int) -> None:
    address = IPv6Address(number)
    if is_public(str(address)):
        leads_to_ipv4 = address.ipv4_mapped or address in IPv6Network("64:ff9b::/96")
        assert leads_to_ipv4 or address in IPv6Network("2000::/3")


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.1.1.1/32", "fe80::1%eth0"])
def test_other_text_is_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\t", "203.0.113.7"),
        ("203.0.113.7:52341", "203.0.113.7"),
        ("203.0.113.7:", "203.0.113.7"),
        ('"203.0.113.7:52341"', "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("2001:db8:1:2:3:4:5:6:443", "2001:db8:1:2:3:4:5:6"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:52341", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
    ],
)
def test_addresses_are_parsed_in_every_form_that_proxies_write(text: str, address: str) -> None:
    assert str(parsed(text)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "_hidden",
        "203.0.113",
        "203.0.113.7:a",
        "203.0.113.7.8",
        "[203.0.113.7",
        "203.0.113.7:1:2",
        "example.com:80",
        "203.0.113.07",
        "2001:db8::1]",
        "%eth0",
        "[]:1",
        ":1",
    ],
)
def test_other_text_is_not_parsed(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "address"),
    [
        ("203.0.113.7", 0, "192.0.2.1"),
        ("203.0.113.7", 1, "203.0.113.7"),
        ("203.0.113.7:52341", 1, "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.1,203.0.113.7:1 , 10.0.0.1", 2, "203.0.113.7"),
        ("203.0.113.7,", 1, "203.0.113.7"),
        ("203.0.113.7", 2, "192.0.2.1"),
        ("", 1, "192.0.2.1"),
        ("made up 1", 1, "192.0.2.1"),
        ("203.0.113.7, unknown", 1, "192.0.2.1"),
    ],
)
def test_client_is_the_address_named_by_trusted_proxies(
    forwarded_for: str, proxies: int, address: str
) -> None:
    assert client("192.0.2.1", forwarded_for, proxies) == address


def test_client_of_a_unix_socket_has_no_address() -> None:
    assert client("", "", 0) == ""
    assert client("", "203.0.113.7", 1) == "203.0.113.7"


@given(st.text())
def test_no_header_raises(text: str) -> None:
    assert client("192.0.2.1", text, 1)
