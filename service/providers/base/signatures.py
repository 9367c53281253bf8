"""Common parts of the providers' signature schemes, and their credentials.

Signatures are compared in constant time. Every stored value of a credential is tried, because there
are two while a secret is being replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from service.security import constant_time

Secrets: TypeAlias = Mapping[str, tuple[str, ...]]
"""Stored values of each credential, the current one first."""

URL = re.compile(r"(https?|wss?)://(\[[^\]]*\]|[^:/?#]*)(?::([0-9]+))?(.*)", re.S)

PORTS = {"https": "443", "wss": "443", "http": "80", "ws": "80"}


class Use(Enum):
    """Use of a credential."""

    SIGNATURES = "signatures"
    API = "the provider's API"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of an account, as a provider's console shows it. A ``secret`` is never shown
    again. ``expected`` is the error for a value without the ``shape``.
    """

    name: str
    secret: bool
    uses: frozenset[Use]
    shape: re.Pattern[str] = re.compile(r"[!-~]{1,256}")
    expected: str = "must be 1 to 256 characters without white space"


def hmac_base64(secret: str, text: str, algorithm: str) -> str:
    # A lone surrogate cannot have been signed, and must not raise.
    data = text.encode(errors="replace")
    return b64encode(hmac.digest(secret.encode(), data, algorithm)).decode()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def matches(sent: Iterable[str], expected: Iterable[str]) -> bool:
    """Whether one of the received signatures is one of the expected ones."""
    right = list(expected)
    return any(constant_time.equal(each, good) for each in sent for good in right)


def with_and_without_port(url: str) -> tuple[str, ...]:
    """Return ``url`` without its port, and with it or the scheme's default port."""
    match = URL.fullmatch(url)
    if match is None:
        return (url,)
    scheme, host, port, rest = match.groups()
    return f"{scheme}://{host}{rest}", f"{scheme}://{host}:{port or PORTS[scheme]}{rest}"


def with_scheme(url: str, scheme: str) -> str:
    return scheme + url[url.index("://") :]
