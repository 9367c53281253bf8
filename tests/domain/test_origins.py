"""Origins of servers: one spelling per server."""

from __future__ import annotations

import pytest

from service.domain.origins import Address, origin

BASE = "https://voice.example.com"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://Voice.Example.COM:443", BASE),
        ("HTTPS://VOICE.EXAMPLE.COM/", BASE),
        (" https://voice.example.com./ ", BASE),
        ("https://voice.example.com:", BASE),
        ("https://voice.example.com:0443//", BASE),
        ("https://voice.example.com:8443/Voice/", f"{BASE}:8443/Voice"),
        ("https://voice.example.com:80", f"{BASE}:80"),
        ("http://voice.example.com:80/pb", "http://voice.example.com/pb"),
        ("wss://IN.example.com:443", "wss://in.example.com"),
        ("ws://localhost:80", "ws://localhost"),
        ("https://grüße.example.com", "https://xn--gre-6ka8l.example.com"),
        ("https://GRÜSSE.example", "https://xn--grsse-lva.example"),
        ("https://XN--GRE-6KA8L.example.com", "https://xn--gre-6ka8l.example.com"),
        ("https://voice。example．com", BASE),
        ("https://ｖｏｉｃｅ.example.com", BASE),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("http://[2001:DB8::A]", "http://[2001:db8::a]"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://patchbay_app:8000", "http://patchbay_app:8000"),
    ],
)
def test_an_address_has_one_spelling(written: str, address: str) -> None:
    found = Address.of(written)
    assert found == address
    assert found.written == written.strip().rstrip("/")
    assert Address.of(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "voice.example.com",
        "ftp://voice.example.com",
        "https://",
        "https://.",
        "https://voice..example.com",
        "https://ann@voice.example.com",
        "https://voice.example.com?a=b",
        "https://voice.example.com?",
        "https://voice.example.com#top",
        "https://voice.example.com:port",
        "https://voice.example.com:0",
        "https://voice.example.com:70000",
        "https://voice\t.example.com",
        "https://voice example.com",
        "https://voice.example.com/a b",
        'https://voice.example.com/"><Hangup/>',
        "https://voice.example.com/grüße",
        "https://[::1",
        "https://[v1.x]",
        "https://voice℀.example.com",
        "https://" + "a" * 64 + ".example.com",
    ],
)
def test_text_without_a_server_has_no_origin(text: str) -> None:
    assert Address.of(text) is None


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://Voice.Example.com:443/pb?a=b#c", BASE),
        ("http://voice.example.com:443", "http://voice.example.com:443"),
        ("null", None),
        ("https://ann@voice.example.com", None),
    ],
)
def test_the_origin_of_a_url(url: str, found: str | None) -> None:
    assert origin(url) == found
