"""Settings from the environment: every default, every refusal."""

from __future__ import annotations

from base64 import b64encode, encodebytes
from dataclasses import fields
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.security.key_pairs import KeyPair
from service.settings import Settings
from tests.support.keyrings import a_pair

PAIR = {"API_KEY": "key", "API_SECRET": "secret"}
SHARED = {
    "NODE_URL": "https://voice1.example.com",
    "PUBLIC_URL": "https://voice.example.com",
    "DATABASE_URL": "postgres://host/name",
}
"""Settings of a machine that serves beside others."""


def settings(**env: str) -> Settings:
    return Settings.from_env(PAIR | env)


def test_defaults_need_only_the_key_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings() == Settings(
        api_key="key",
        api_secret="secret",
        public_url=None,
        port=8000,
        database_url=f"sqlite:///{tmp_path}/data/patchbay.db",
        data_dir=tmp_path / "data",
        web_concurrency=1,
        max_calls=200,
        max_call_seconds=14_400,
        alone_seconds=0,
        reattach=True,
        log_level="info",
        log_format="text",
        trust_proxy=0,
        webhook_allow_private=False,
        test_calls=0,
        webhook_private_key=None,
        regions={},
    )


READ: dict[str, tuple[str, object]] = {
    "api_key": ("another key", "another key"),
    "api_secret": ("another secret", "another secret"),
    "api_secret_previous": (" before ", "before"),
    "public_url": ("https://voice.example.com", "https://voice.example.com"),
    "node_url": ("https://voice1.example.com/", "https://voice1.example.com"),
    "port": ("9000", 9000),
    "database_url": ("sqlite:////srv/calls.db", "sqlite:////srv/calls.db"),
    "data_dir": ("/srv/patchbay", Path("/srv/patchbay")),
    "web_concurrency": ("4", 4),
    "database_connections": ("20", 20),
    "max_calls": ("7", 7),
    "max_call_seconds": ("60", 60),
    "alone_seconds": ("30", 30),
    "dial_allowed": ("+1*, +44 ,!+1900*", ("+1*", "+44", "!+1900*")),
    "dial_per_day": ("50", 50),
    "dial_tied_tokens": ("on", True),
    "drain_seconds": ("30", 30),
    "hold_seconds": ("5", 5),
    "keep_days": ("90", 90),
    "reattach": ("off", False),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "metrics_token": ("0123456789abcdef", "0123456789abcdef"),
    "trust_proxy": ("2", 2),
    "webhook_allow_private": ("on", True),
    "test_calls": ("3", 3),
    "webhook_private_key": (a_pair().private_pem(), a_pair().private_pem().strip()),
    "twilio_api_url": ("https://api.ie1.twilio.com", "https://api.ie1.twilio.com"),
    "plivo_api_url": ("https://eu.plivo.com", "https://eu.plivo.com"),
    "telnyx_api_url": ("https://eu.telnyx.com", "https://eu.telnyx.com"),
    "plivo_old_signatures": ("on", True),
    "regions": (
        "us002=wss://us.example.com, in002=wss://in.example.com:8443/voice/",
        {"us002": "wss://us.example.com", "in002": "wss://in.example.com:8443/voice"},
    ),
}


@pytest.mark.parametrize("name", [each.name for each in fields(Settings)])
def test_every_variable_is_read(name: str) -> None:
    text, value = READ[name]
    assert getattr(settings(), name) != value
    needed = SHARED if name == "node_url" else {}
    assert getattr(settings(**{**needed, name.upper(): text}), name) == value


@pytest.mark.parametrize("name", ["API_KEY", "API_SECRET"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_neither_half_of_the_key_pair_has_a_default(name: str, value: str | None) -> None:
    env = {key: text for key, text in PAIR.items() if key != name}
    if value is not None:
        env[name] = value
    with pytest.raises(SettingsError, match=f"^{name} is not set; .*\\.$"):
        Settings.from_env(env)


OPTIONAL = [name.upper() for name in READ if name.upper() not in PAIR]


def test_credentials_go_to_the_providers_unless_told_otherwise() -> None:
    assert settings().api_url("twilio") == "https://api.twilio.com"
    changed = settings(
        TELNYX_API_URL="http://127.0.0.1:8080/", PLIVO_API_URL="https://EU.Plivo.com:443"
    )
    assert changed.api_url("telnyx") == "http://127.0.0.1:8080"
    assert changed.api_url("plivo") == "https://eu.plivo.com"


def test_empty_counts_as_not_set() -> None:
    assert settings(**dict.fromkeys(OPTIONAL, "")) == settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "80.5"),
        ("PORT", "١٢"),
        ("PORT", "9" * 5000),
        ("METRICS_TOKEN", "0123456789abcde"),
        ("METRICS_TOKEN", "0123456789 abcdef"),
        ("METRICS_TOKEN", "0123456789abcdéf"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "65"),
        ("DATABASE_CONNECTIONS", "1"),
        ("DATABASE_CONNECTIONS", "641"),
        ("MAX_CALLS", "0"),
        ("MAX_CALLS", "100001"),
        ("MAX_CALL_SECONDS", "0"),
        ("MAX_CALL_SECONDS", "4h"),
        ("ALONE_SECONDS", "-1"),
        ("KEEP_DAYS", "forever"),
        ("KEEP_DAYS", "36501"),
        ("ALONE_SECONDS", "86401"),
        ("TRUST_PROXY", "yes"),
        ("TRUST_PROXY", "11"),
        ("TEST_CALLS", "on"),
        ("TEST_CALLS", "21"),
        ("REATTACH", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("PUBLIC_URL", "voice.example.com"),
        ("PUBLIC_URL", "ftp://voice.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://user@voice.example.com"),
        ("PUBLIC_URL", "https://voice.example.com?a=b"),
        ("PUBLIC_URL", "https://voice.example.com#top"),
        ("PUBLIC_URL", "https://voice.example.com:port"),
        ("PUBLIC_URL", "https://voice.example.com:70000"),
        ("PUBLIC_URL", "https://voice.example.com:0"),
        ("PUBLIC_URL", 'https://voice.example.com/"><Hangup/>'),
        ("PUBLIC_URL", "https://voice example.com"),
        ("PUBLIC_URL", "https://[::1"),
        ("PUBLIC_URL", "https://voice\x01.example.com"),
        ("PUBLIC_URL", "https://grüße.example.com/ü"),
        ("TWILIO_API_URL", "api.twilio.com"),
        ("PLIVO_API_URL", "http://api.plivo.com"),
        ("TELNYX_API_URL", "https://api.telnyx.com?a=b"),
        ("REGIONS", "wss://us.example.com"),
        ("REGIONS", "us002="),
        ("REGIONS", "us002=us.example.com"),
        ("REGIONS", "us002=https://us.example.com"),
        ("REGIONS", "us002=ws://us.example.com"),
        ("REGIONS", "us002=wss://us.example.com?a=b"),
        ("REGIONS", "us002=wss://user@us.example.com"),
        ("REGIONS", "us002=wss://us example.com"),
        ("REGIONS", "us002=wss://us.example.com:0"),
        ("REGIONS", "US 2=wss://us.example.com"),
        ("REGIONS", "us002=wss://us.example.com,us002=wss://in.example.com"),
        ("WEBHOOK_PRIVATE_KEY", "hush-hush"),
        ("WEBHOOK_PRIVATE_KEY", "aHVzaC1odXNo"),
        ("WEBHOOK_PRIVATE_KEY", "kéy"),
        ("WEBHOOK_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----"),
        ("WEBHOOK_PRIVATE_KEY", a_pair().public_key),
        ("DATA_DIR", "/srv/100%"),
        ("DATA_DIR", "/srv/what?"),
        ("DATABASE_URL", "mysql://host/name"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "postgres://"),
        ("DATABASE_URL", "calls.db"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence_that_names_it(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**{name: value})
    sentence = str(refused.value)
    assert sentence.startswith(f"{name} must ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PUBLIC_URL": ""}, "NODE_URL needs PUBLIC_URL"),
        ({"DATABASE_URL": ""}, "NODE_URL needs Postgres"),
        ({"REGIONS": "us002=wss://us.example.com"}, "NODE_URL and REGIONS exclude each other"),
        ({"NODE_URL": "http://voice1.example.com"}, "NODE_URL must begin with https://"),
        ({"NODE_URL": "https://voice1.example.com?a=b"}, "NODE_URL must be a URL"),
        ({"NODE_URL": "https://user@voice1.example.com"}, "NODE_URL must be a URL"),
        ({"NODE_URL": "wss://voice1.example.com"}, "NODE_URL must be a URL"),
    ],
)
def test_a_machine_that_cannot_serve_beside_others_is_refused(
    change: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{reason}.*\\.$"):
        settings(**{**SHARED, **change})


def test_the_address_of_a_machine_may_be_a_path_and_on_loopback_without_tls() -> None:
    assert settings(**{**SHARED, "NODE_URL": "http://127.0.0.1:8001/n/1/"}).node_url == (
        "http://127.0.0.1:8001/n/1"
    )


def test_a_refusal_ends_the_process_with_its_sentence() -> None:
    with pytest.raises(SystemExit):
        Settings.from_env({})


def test_a_bad_database_url_is_not_quoted_for_it_may_hold_a_password() -> None:
    with pytest.raises(SettingsError) as refused:
        settings(DATABASE_URL="mysql://user:pa55word@host/name")
    assert "pa55word" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgres://u:p@host:5432/name", "postgresql+psycopg://u:p@host:5432/name"),
        (
            "postgresql://host/name?sslmode=require",
            "postgresql+psycopg://host/name?sslmode=require",
        ),
        ("postgresql+psycopg://host/name", "postgresql+psycopg://host/name"),
        ("sqlite:////srv/calls.db", "sqlite:////srv/calls.db"),
        ("Postgres://u:P@Host/Name", "postgresql+psycopg://u:P@Host/Name"),
        ("SQLite:////srv/Calls.db", "sqlite:////srv/Calls.db"),
    ],
)
def test_the_spellings_of_hosts_become_ones_that_work(given: str, url: str) -> None:
    assert settings(DATABASE_URL=given).database_url == url


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://voice.example.com/", "https://voice.example.com"),
        ("https://example.com:8443/voice/", "https://example.com:8443/voice"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://Voice.Example.COM:443", "https://voice.example.com"),
        ("https://grüße.example.com.", "https://xn--gre-6ka8l.example.com"),
    ],
)
def test_the_public_url_has_one_spelling(given: str, url: str) -> None:
    assert settings(PUBLIC_URL=given).public_url == url


def test_the_database_lies_in_the_data_folder(tmp_path: Path) -> None:
    read = settings(DATA_DIR=str(tmp_path / "calls"))
    assert read.database_url == f"sqlite:///{tmp_path}/calls/patchbay.db"


def test_words_may_be_written_in_capitals() -> None:
    read = settings(LOG_LEVEL="WARNING", LOG_FORMAT="JSON", REATTACH="Off")
    assert (read.log_level, read.log_format, read.reattach) == ("warning", "json", False)


def test_settings_print_no_secret() -> None:
    read = settings(
        API_SECRET="hush-hush",
        DATABASE_URL="postgres://u:pa55word@host/name",
        WEBHOOK_PRIVATE_KEY=a_pair().private_pem(),
    )
    assert not any(word in repr(read) for word in ("hush-hush", "pa55word", "BEGIN"))


def test_a_private_key_may_be_written_on_one_line() -> None:
    pem = a_pair().private_pem()
    for text in (
        pem,
        pem.replace("\n", "\r\n"),
        pem.replace("\n", "\\n"),
        b64encode(pem.encode()).decode(),
        encodebytes(pem.encode()).decode(),
    ):
        read = settings(WEBHOOK_PRIVATE_KEY=text).webhook_private_key
        assert read is not None
        assert KeyPair.read(read).id == a_pair().id


def test_a_bad_private_key_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as refused:
        settings(WEBHOOK_PRIVATE_KEY=a_pair().private_pem()[:-300])
    assert str(refused.value) == (
        "WEBHOOK_PRIVATE_KEY must be an RSA private key of at least 2048 bits in PEM, without a "
        "password."
    )


def test_a_region_without_an_address_of_its_own_has_the_public_one() -> None:
    read = settings(REGIONS="in002=WSS://IN.example.com:443/,dev1=ws://127.0.0.1:8000")
    base = "https://voice.example.com/voice"
    assert read.media_base("in002", base) == "wss://in.example.com"
    assert read.media_base("dev1", base) == "ws://127.0.0.1:8000"
    assert read.media_base("us002", base) == "wss://voice.example.com/voice"
    assert read.media_base(None, "http://127.0.0.1:8000") == "ws://127.0.0.1:8000"
