"""The settings. They are read once, and only this module reads the environment.

A missing or malformed value raises ``SettingsError``, which ends the start with one sentence
that names the variable. An empty value counts as not set.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from service.domain import dialling
from service.domain.origins import Address
from service.errors import SettingsError
from service.security.key_pairs import MIN_BITS, KeyPair

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
TWILIO_API = "https://api.twilio.com"
PLIVO_API = "https://api.plivo.com"
TELNYX_API = "https://api.telnyx.com"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One value per variable of docs/settings.md; the field is the variable in lower case."""

    api_key: str
    api_secret: str = field(repr=False)
    api_secret_previous: str | None = field(default=None, repr=False)
    public_url: str | None = None
    port: int = 8000
    database_url: str = field(repr=False)
    data_dir: Path
    max_calls: int = 200
    max_call_seconds: int = 14_400
    alone_seconds: int = 0
    dial_allowed: tuple[str, ...] = ()
    dial_per_day: int = 1000
    dial_tied_tokens: bool = False
    drain_seconds: int = 20
    hold_seconds: int = 3
    keep_days: int = 0
    reattach: bool = True
    log_level: str = "info"
    log_format: str = "text"
    metrics_token: str | None = field(default=None, repr=False)
    trust_proxy: int = 0
    webhook_allow_private: bool = False
    test_calls: int = 0
    webhook_private_key: str | None = field(default=None, repr=False)
    twilio_api_url: str = TWILIO_API
    plivo_api_url: str = PLIVO_API
    telnyx_api_url: str = TELNYX_API
    plivo_old_signatures: bool = False
    regions: Mapping[str, str] = field(default_factory=dict)

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
        data_dir = Path(env.get("DATA_DIR") or "data").absolute()
        if re.search("[%?]", str(data_dir)):
            raise SettingsError("DATA_DIR must not contain % or ?, which mean something in URLs.")
        return cls(
            api_key=_required(env, "API_KEY"),
            api_secret=_required(env, "API_SECRET"),
            api_secret_previous=env.get("API_SECRET_PREVIOUS", "").strip() or None,
            public_url=_origin(env, "PUBLIC_URL"),
            port=_integer(env, "PORT", 8000, 1, 65_535),
            database_url=_database(env, "DATABASE_URL", data_dir),
            data_dir=data_dir,
            max_calls=_integer(env, "MAX_CALLS", 200, 1, 100_000),
            max_call_seconds=_integer(env, "MAX_CALL_SECONDS", 14_400, 1, 604_800),
            alone_seconds=_integer(env, "ALONE_SECONDS", 0, 0, 86_400),
            dial_allowed=_prefixes(env, "DIAL_ALLOWED"),
            dial_per_day=_integer(env, "DIAL_PER_DAY", 1000, 0, 1_000_000),
            dial_tied_tokens=_switch(env, "DIAL_TIED_TOKENS", "off"),
            drain_seconds=_integer(env, "DRAIN_SECONDS", 20, 0, 600),
            hold_seconds=_integer(env, "HOLD_SECONDS", 3, 2, 60),
            keep_days=_integer(env, "KEEP_DAYS", 0, 0, 36_500),
            reattach=_switch(env, "REATTACH", "on"),
            log_level=_choice(env, "LOG_LEVEL", LOG_LEVELS, "info"),
            log_format=_choice(env, "LOG_FORMAT", LOG_FORMATS),
            metrics_token=_secret(env, "METRICS_TOKEN"),
            trust_proxy=_integer(env, "TRUST_PROXY", 0, 0, 10),
            webhook_allow_private=_switch(env, "WEBHOOK_ALLOW_PRIVATE", "off"),
            test_calls=_integer(env, "TEST_CALLS", 0, 0, 20),
            webhook_private_key=_private_key(env, "WEBHOOK_PRIVATE_KEY"),
            twilio_api_url=_api(env, "TWILIO_API_URL", TWILIO_API),
            plivo_api_url=_api(env, "PLIVO_API_URL", PLIVO_API),
            telnyx_api_url=_api(env, "TELNYX_API_URL", TELNYX_API),
            plivo_old_signatures=_switch(env, "PLIVO_OLD_SIGNATURES", "off"),
            regions=_regions(env, "REGIONS"),
        )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set; `make run` writes a development pair into .env.")
    return value


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise SettingsError(
            f"{name} must be a whole number from {low} to {high}, not {text[:40]!r}."
        )
    return int(text)


def _choice(
    env: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str | None = None
) -> str:
    text = env.get(name, "").strip().lower()
    if not text:
        return default or allowed[0]
    if text not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {text[:40]!r}.")
    return text


def _switch(env: Mapping[str, str], name: str, default: str) -> bool:
    return _choice(env, name, ("on", "off"), default) == "on"


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


def _api(env: Mapping[str, str], name: str, default: str) -> str:
    """Read an origin to which credentials may be sent."""
    url = _origin(env, name)
    if url is None:
        return default
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise SettingsError(f"{name} must begin with https://: credentials are sent there.")
    return url


def _database(env: Mapping[str, str], name: str, data_dir: Path) -> str:
    """Read a SQLAlchemy URL. The URLs that hosting platforms provide get the psycopg 3 driver."""
    text = env.get(name, "").strip()
    if not text:
        return f"sqlite:///{data_dir / 'patchbay.db'}"
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme in ("postgres", "postgresql", "postgresql+psycopg") and separator and rest:
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1:
        return f"sqlite://{rest}"
    # The value is not quoted: it may hold a password.
    raise SettingsError(f"{name} must begin with postgres:// or sqlite:/// and name a database.")
