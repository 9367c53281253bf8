"""The settings. They are read once, and only this module reads the environment.

A missing or malformed value raises ``SettingsError``, which ends the start with one sentence
that names the variable. An empty value counts as not set.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from service.domain import dialling
from service.domain.origins import Address
from service.errors import SettingsError
from service.security.key_pairs import MIN_BITS, KeyPair

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
MOST_WORKERS = 64
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Reader: TypeAlias = Callable[[Mapping[str, str], str], object]
"""Reads a variable by its name. ``None`` means that the default applies."""

READER = "reader"
"""The key of a field's reader in its metadata."""


def read_by(reader: Reader) -> Mapping[str, Reader]:
    """Return the metadata of a field that ``reader`` reads."""
    return {READER: reader}


def whole(low: int, high: int) -> Mapping[str, Reader]:
    """Return the metadata of a field with a whole number between the bounds, both included."""

    def read(env: Mapping[str, str], name: str) -> int | None:
        text = env.get(name, "").strip()
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise SettingsError(
                f"{name} must be a whole number from {low} to {high}, not {text[:40]!r}."
            )
        return int(text)

    return read_by(read)


def one_of(*allowed: str) -> Mapping[str, Reader]:
    """Return the metadata of a field with one of these words."""
    return read_by(lambda env, name: _word(env, name, allowed))


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set; `make run` writes a development pair into .env.")
    return value


def _text(env: Mapping[str, str], name: str) -> str | None:
    return env.get(name, "").strip() or None


def _word(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    text = env.get(name, "").strip().lower()
    if not text:
        return None
    if text not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {text[:40]!r}.")
    return text


def _switch(env: Mapping[str, str], name: str) -> bool | None:
    word = _word(env, name, ("on", "off"))
    return None if word is None else word == "on"


def _data_dir(env: Mapping[str, str], name: str) -> Path:
    folder = Path(env.get(name) or "data").absolute()
    if re.search("[%?]", str(folder)):
        raise SettingsError(f"{name} must not contain % or ?, which mean something in URLs.")
    return folder


def _origin(env: Mapping[str, str], name: str) -> Address | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    address = Address.of(text)
    if address is None or address.scheme not in ("http", "https"):
        raise SettingsError(
            f"{name} must be a URL such as https://voice.example.com, without query or user."
        )
    return address


def _secret(env: Mapping[str, str], name: str) -> str | None:
    """Read a secret that can be sent in a header and is too long to guess."""
    text = env.get(name, "").strip()
    if text and not re.fullmatch("[!-~]{16,}", text):
        raise SettingsError(f"{name} must be at least 16 visible ASCII characters, without spaces.")
    return text or None


def _regions(env: Mapping[str, str], name: str) -> Mapping[str, str]:
    """Read ``us002=wss://…,in002=wss://…``: addresses that every provider accepts."""
    regions: dict[str, str] = {}
    for pair in filter(None, map(str.strip, env.get(name, "").split(","))):
        region, _, address = pair.partition("=")
        url = Address.of(address)
        if (
            not re.fullmatch("[a-z0-9]{1,32}", region.strip())
            or region.strip() in regions
            or url is None
            or url.scheme not in ("ws", "wss")
            or (url.scheme == "ws" and urlsplit(url).hostname not in LOOPBACK)
        ):
            raise SettingsError(
                f"{name} must be a list such as us002=wss://us.example.com,in002=wss://…, each "
                "region once, without query or user."
            )
        regions[region.strip()] = url
    return regions


def _prefixes(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read ``+1*,+44*,!+1900*``: prefixes of telephone numbers."""
    patterns = tuple(filter(None, map(str.strip, env.get(name, "").split(","))))
    if not all(map(dialling.PATTERN.fullmatch, patterns)):
        raise SettingsError(
            f"{name} must be a list of prefixes such as +1*,+44*,!+1900*, or * for any number."
        )
    return patterns


def _private_key(env: Mapping[str, str], name: str) -> str | None:
    """Read a PEM. On one line it has ``\\n`` for its newlines, or is written in base64."""
    text = env.get(name, "").strip()
    if not text:
        return None
    try:
        if "-----BEGIN" not in text:
            text = b64decode("".join(text.split()), validate=True).decode("ascii")
        pem = text.replace("\\r", "").replace("\\n", "\n")
        KeyPair.read(pem)
    except ValueError:
        # Neither the value nor the reason is quoted, because both may reveal the key.
        raise SettingsError(
            f"{name} must be an RSA private key of at least {MIN_BITS} bits in PEM, without a "
            "password."
        ) from None
    return pem


def _encrypted(cargo: str) -> Mapping[str, Reader]:
    """Return the metadata of a field with an origin to which ``cargo`` may be sent."""

    def read(env: Mapping[str, str], name: str) -> str | None:
        url = _origin(env, name)
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise SettingsError(f"{name} must begin with https://: {cargo} are sent there.")
        return url

    return read_by(read)


def _database(env: Mapping[str, str], name: str) -> str:
    """Read a SQLAlchemy URL. The URLs that hosting platforms provide get the psycopg 3 driver."""
    text = env.get(name, "").strip()
    if not text:
        return f"sqlite:///{_data_dir(env, 'DATA_DIR') / 'patchbay.db'}"
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme in ("postgres", "postgresql", "postgresql+psycopg") and separator and rest:
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1:
        return f"sqlite://{rest}"
    # The value is not quoted: it may hold a password.
    raise SettingsError(f"{name} must begin with postgres:// or sqlite:/// and name a database.")


CREDENTIALS = _encrypted("credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One value for each variable of docs/settings.md. A field is named like its variable, in lower
    case. It has the default and the reader.
    """

    api_key: str = field(metadata=read_by(_required))
    api_secret: str = field(repr=False, metadata=read_by(_required))
    api_secret_previous: str | None = field(default=None, repr=False, metadata=read_by(_text))
    public_url: str | None = field(default=None, metadata=read_by(_origin))
    node_url: str | None = field(default=None, metadata=_encrypted("calls"))
    port: int = field(default=8000, metadata=whole(1, 65_535))
    web_concurrency: int = field(default=1, metadata=whole(1, MOST_WORKERS))
    database_url: str = field(repr=False, metadata=read_by(_database))
    database_connections: int | None = field(default=None, metadata=whole(2, 640))
    data_dir: Path = field(metadata=read_by(_data_dir))
    max_calls: int = field(default=200, metadata=whole(1, 100_000))
    max_call_seconds: int = field(default=14_400, metadata=whole(1, 604_800))
    alone_seconds: int = field(default=0, metadata=whole(0, 86_400))
    dial_allowed: tuple[str, ...] = field(default=(), metadata=read_by(_prefixes))
    dial_per_day: int = field(default=1000, metadata=whole(0, 1_000_000))
    dial_tied_tokens: bool = field(default=False, metadata=read_by(_switch))
    drain_seconds: int = field(default=20, metadata=whole(0, 600))
    hold_seconds: int = field(default=3, metadata=whole(2, 60))
    keep_days: int = field(default=0, metadata=whole(0, 36_500))
    reattach: bool = field(default=True, metadata=read_by(_switch))
    log_level: str = field(default="info", metadata=one_of(*LOG_LEVELS))
    log_format: str = field(default="text", metadata=one_of(*LOG_FORMATS))
    metrics_token: str | None = field(default=None, repr=False, metadata=read_by(_secret))
    trust_proxy: int = field(default=0, metadata=whole(0, 10))
    webhook_allow_private: bool = field(default=False, metadata=read_by(_switch))
    test_calls: int = field(default=0, metadata=whole(0, 20))
    webhook_private_key: str | None = field(
        default=None, repr=False, metadata=read_by(_private_key)
    )
    twilio_api_url: str = field(default="https://api.twilio.com", metadata=CREDENTIALS)
    plivo_api_url: str = field(default="https://api.plivo.com", metadata=CREDENTIALS)
    telnyx_api_url: str = field(default="https://api.telnyx.com", metadata=CREDENTIALS)
    plivo_old_signatures: bool = field(default=False, metadata=read_by(_switch))
    regions: Mapping[str, str] = field(default_factory=dict, metadata=read_by(_regions))

    @property
    def api_secrets(self) -> tuple[str, str | None]:
        """The current secret and the previous one."""
        return self.api_secret, self.api_secret_previous

    @property
    def local_url(self) -> str:
        """The URL at which this machine itself reaches the service."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_kind(self) -> str:
        """The kind of the database, without its address."""
        return "SQLite" if self.database_url.startswith("sqlite") else "Postgres"

    def api_url(self, provider: str) -> str:
        """Return the URL of the provider's REST API, without a trailing slash."""
        url: str = getattr(self, f"{provider}_api_url")
        return url

    def call_seconds(self, wanted: int | None) -> int:
        """Return the time limit of a call in seconds: ``wanted``, if given, up to the setting."""
        return min(wanted or self.max_call_seconds, self.max_call_seconds)

    def media_base(self, region: str | None, public_base: str) -> str:
        """Return the base URL of the media sockets of a region, without a trailing slash."""
        return self.regions.get(region or "", f"ws{public_base.removeprefix('http')}")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read all settings. Raises ``SettingsError``."""
        read = {each.name: each.metadata[READER](env, each.name.upper()) for each in fields(cls)}
        settings = cls(**{name: value for name, value in read.items() if value is not None})
        settings._require_what_machines_share()
        return settings

    def _require_what_machines_share(self) -> None:
        """Raise ``SettingsError`` where this machine could not serve beside others."""
        if self.node_url is None:
            return
        if self.public_url is None:
            raise SettingsError("NODE_URL needs PUBLIC_URL, the address of all machines together.")
        if self.database_kind != "Postgres":
            raise SettingsError("NODE_URL needs Postgres in DATABASE_URL, which machines share.")
        if self.regions:
            raise SettingsError("NODE_URL and REGIONS exclude each other: remove one of them.")
