"""What is set wrong as far as it can be told: one sentence each, with what to do about it."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from service.clock import Clock, SystemClock
from service.settings import Settings
from service.simulator.webhook_client import opener
from service.storage.database import Database
from service.storage.stored_secrets import WRONG, StoredSecrets

WISE_SECRET = 32
"""Characters of ``API_SECRET``, under which tokens are signed and credentials encrypted."""

MAX_SKEW_SECONDS = 30
"""Telnyx's signatures are good for 300 s, of which a clock should not use up much."""

PORT_SECONDS = 5.0


def about_settings(settings: Settings, dyno: str | None) -> Iterator[str]:
    """What the settings alone tell. ``dyno`` names the Heroku dyno, where this is one."""
    parts = urlsplit(settings.public_url or "")
    is_local = _is_local(parts.hostname)
    if settings.public_url is None:
        yield (
            "PUBLIC_URL is not set, so that URLs and signatures follow the Host header of each "
            "request: set it to the address that providers dial, such as https://voice.example.com."
        )
    elif is_local:
        yield (
            f"PUBLIC_URL names {parts.hostname}, where no provider can reach this server: set it "
            "to the address of your proxy or tunnel."
        )
        if parts.port not in (None, settings.port) and settings.trust_proxy == 0:
            yield (
                f"PUBLIC_URL says port {parts.port} and PORT is {settings.port}: make them agree, "
                "or say with TRUST_PROXY that something stands between them."
            )
    elif parts.scheme == "http":
        yield (
            "PUBLIC_URL begins with http://, and providers open media sockets over TLS only: let "
            "a proxy end TLS and write https://."
        )
    in_front = dyno is not None or (parts.scheme == "https" and not is_local)
    if in_front and settings.trust_proxy == 0:
        yield (
            "TRUST_PROXY is 0 although something in front of this server ends TLS: set it to the "
            "number of proxies, which is mostly 1."
        )
    if is_local and not dyno and settings.trust_proxy:
        yield (
            f"TRUST_PROXY is {settings.trust_proxy} although PUBLIC_URL names this machine: "
            "without a proxy anybody may claim an address and a scheme, so set it to 0."
        )
    if dyno is not None and settings.database_url.startswith("sqlite:"):
        yield (
            "The database is a file on a dyno, whose disk is wiped daily: attach Postgres with "
            "`heroku addons:create heroku-postgresql`."
        )
    if len(settings.api_secret) < WISE_SECRET:
        yield (
            f"API_SECRET has fewer than {WISE_SECRET} characters, and whoever guesses it can mint "
            "tokens and read credentials: make a longer one, and set all credentials again."
        )


def about_the_port(settings: Settings, dyno: str | None) -> Iterator[str]:
    """Whether our port is somebody else's."""
    # A dyno started for this command has a port of its own, and no server on it.
    if dyno is None and _answers(settings.port) is False:
        yield (
            f"Something other than Patchbay answers at port {settings.port}: set PORT to a free "
            "one and let your proxy know."
        )


def about_the_secret(database: Database, settings: Settings) -> Iterator[str]:
    """Whether a server would start with this secret. Raises where the database is not there."""
    if not StoredSecrets(database, SystemClock(), *settings.api_secrets).fits():
        yield WRONG


def about_the_clock(database: Database, clock: Clock) -> Iterator[str]:
    """Whether this machine and the database's agree on the time. Raises where it is not there."""
    theirs = database.now()
    skew = 0 if theirs is None else (clock.now() - theirs) // 1000
    if abs(skew) > MAX_SKEW_SECONDS:
        direction = "ahead of" if skew > 0 else "behind"
        yield (
            f"This machine's clock is {abs(skew)} s {direction} the database's, and Telnyx's "
            "signatures are refused from 300 s on: run a time service on both."
        )


def _is_local(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local"))


def _answers(port: int) -> bool | None:
    """Whether Patchbay answers at this port of this machine; ``None`` where nobody listens."""
    try:
        with opener("127.0.0.1").open(
            f"http://127.0.0.1:{port}/healthz", timeout=PORT_SECONDS
        ) as answer:
            return bool(json.loads(answer.read(1000)) == {"status": "ok"})
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except urllib.error.URLError:
        return None
    except (OSError, ValueError):
        return False
