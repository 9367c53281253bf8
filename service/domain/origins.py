"""Normalised addresses of servers, which can be compared as text.

Scheme and host are in lower case, an international name is in Punycode. The scheme's default port,
and a dot or slash at the end, are removed.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import SplitResult, urlsplit

PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# Characters that markup must escape, or that begin a query or a fragment.
_FORBIDDEN = re.compile(r"[^!-~]|[?#<>\"'\\]")


class Address(str):
    """A normalised address, which keeps the text as it was ``written``."""

    written: str

    @classmethod
    def of(cls, url: str) -> Address | None:
        """Return the address of a URL without user, query and fragment; ``None`` for other text."""
        written = url.strip().rstrip("/")
        parts = _split(written)
        if parts is None or _FORBIDDEN.search(parts.path) or re.search(r"[\s?#]", written):
            return None
        address = cls(_origin(parts) + parts.path)
        address.written = written
        return address

    @property
    def scheme(self) -> str:
        return self.partition(":")[0]


def origin(url: str) -> str | None:
    """Return a URL's normalised scheme, host and port; ``None`` if its host is invalid."""
    parts = _split(url)
    return None if parts is None else _origin(parts)


def _split(url: str) -> SplitResult | None:
    """Split a URL, and normalise its host."""
    # urlsplit drops some of these silently.
    if re.search(r"[\x00-\x1f\x7f]", url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = _host(parts.hostname or "", bracketed="[" in parts.netloc)
    if parts.scheme not in PORTS or host is None or port == 0 or "@" in parts.netloc:
        return None
    is_implied = port is None or port == PORTS[parts.scheme]
    return parts._replace(netloc=host if is_implied else f"{host}:{port}")


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _host(name: str, *, bracketed: bool) -> str | None:
    if ":" in name:
        try:
            return f"[{IPv6Address(name)}]"
        except AddressValueError:
            return None
    if bracketed:
        return None
    labels = map(_label, _DOTS.split(name.removesuffix(".")))
    host = ".".join(labels)
    return host if _HOST.fullmatch(host) else None


def _label(text: str) -> str:
    """Return one label of a host name as used in DNS."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    return text if text.isascii() else f"xn--{text.encode('punycode').decode()}"
