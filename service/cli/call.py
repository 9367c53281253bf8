"""``flask call``: place a call with the phone simulator, and print a report.

The ladder of the call goes to stderr during the call, the report to stdout at its end. The exit
code is 0 if audio came through. Otherwise it is 1, after one sentence with the reason.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import click
from flask import current_app
from flask.cli import with_appcontext

from service.clock import SystemClock
from service.domain.connectors import Connector
from service.domain.phone_numbers import UnreadableError, plain, read
from service.errors import Invalid, ServiceError
from service.security import access_tokens
from service.settings import Settings
from service.simulator import webhook_client
from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Codec
from service.simulator.phone import Phone
from service.simulator.providers import registry, signing
from service.simulator.scenario import CALLEE, CALLER, ENDINGS, Scenario
from service.storage.connectors import Connectors
from service.storage.database import Database

BAR_CELLS = 30
LIST_TIMEOUT = 10.0


@click.command()
@click.argument("webhook_url", required=False)
@click.option("--from", "caller", default=CALLER, show_default=True, help="The caller's number.")
@click.option("--to", "callee", default=CALLEE, show_default=True, help="The number to call.")
@click.option(
    "--play", type=click.Path(path_type=Path), help="A WAV file to play; a melody if not given."
)
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write the received audio to a WAV file."
)
@click.option("--seconds", type=float, help="Repeat the sound, and hang up after this time.")
@click.option("--digits", default="", help="Keys to press, such as 12#.")
@click.option(
    "--pin", "pins", multiple=True, help="Keys to press at a prompt; repeat it for further prompts."
)
@click.option(
    "--codec",
    type=click.Choice([each.value for each in Codec]),
    help="The codec that the phone sends.",
)
@click.option("--jitter", type=float, default=0.0, help="Maximum delay of each frame in ms.")
@click.option("--drop", type=float, default=0.0, help="Percentage of frames to lose.")
@click.option(
    "--dialled",
    type=click.Choice(ENDINGS),
    default=ENDINGS[0],
    show_default=True,
    help="The outcome if the call is transferred.",
)
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path),
    help="A file with the provider's signing key: the auth token, or the private key for Telnyx. "
    "Not needed for this server's own Twilio and Plivo connectors.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@with_appcontext
def call(
    webhook_url: str | None,
    caller: str,
    callee: str,
    play: Path | None,
    record: Path | None,
    seconds: float | None,
    digits: str,
    pins: tuple[str, ...],
    codec: str | None,
    jitter: float,
    drop: float,
    dialled: str,
    signing_key: Path | None,
    as_json: bool,
) -> None:
    """Place a call to WEBHOOK_URL, or to the newest connector."""
    settings: Settings = current_app.config["SETTINGS"]
    try:
        url = webhook_url or _newest(settings)
        key, account = _key_and_account(settings, url, signing_key)
        scenario = Scenario(
            webhook_url=url,
            caller=_party("--from", caller),
            callee=_party("--to", callee),
            sample=sound.melody() if play is None else sound.read(play),
            loop=seconds is not None,
            seconds=seconds,
            digits=digits,
            pins=pins,
            codec=None if codec is None else Codec(codec),
            jitter_ms=jitter,
            drop_percent=drop,
            dialled=dialled,
            signing_key=key,
            account=account,
        )
        phone = Phone(scenario).start()
        _watch(phone)
        if record is not None:
            sound.write(record, phone.heard)
    except ServiceError as error:
        raise click.ClickException(error.message) from None
    report = phone.report
    if as_json:
        click.echo(report.json())
    elif report.answered_ms is not None:
        click.echo(report.text())
    if report.trouble is not None:
        raise click.ClickException(report.trouble)


def _party(option: str, text: str) -> str:
    """Convert a number to E.164. Other texts that providers send as callers are kept.

    Raises ``Invalid`` for a number with invalid characters.
    """
    with suppress(UnreadableError):
        return read(text)
    if not any(map(str.isalpha, text)):
        try:
            plain(text)
        except UnreadableError as error:
            raise Invalid(f"{option} {error}.") from None
    return text


def _key_and_account(
    settings: Settings, webhook_url: str, key_file: Path | None
) -> tuple[str | None, str | None]:
    """Find the signing key and the account of the call. Raises ``Invalid``."""
    stored = _stored_connector(settings, webhook_url)
    credentials = {} if stored is None else stored.credentials
    key, account = signing.key_and_account(registry.of(webhook_url).name, credentials)
    return (key if key_file is None else _read_key(key_file)), account


def _stored_connector(settings: Settings, webhook_url: str) -> Connector | None:
    """Return the connector of this webhook, or ``None`` if it is not one of this server's."""
    *_, provider, key = urlsplit(webhook_url).path.split("/")
    database = Database(settings.database_url)
    try:
        if not database.exists():
            return None
        return Connectors(database, *settings.api_secrets).by_key(provider, key)
    except Exception:  # noqa: BLE001 - without the key, the call is placed unsigned
        return None
    finally:
        database.close()


def _read_key(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        raise Invalid(f"{path} cannot be read as a signing key.") from None


def _newest(settings: Settings) -> str:
    """Fetch the webhook URL of the newest connector. Raises ``ClickException``."""
    base = settings.public_url or settings.local_url
    token = access_tokens.mint(
        settings.api_key, settings.api_secret, SystemClock().now(), seconds=60
    )
    request = urllib.request.Request(  # noqa: S310 - settings only allow http and https
        f"{base}/v2/connectors", headers={"Authorization": token}
    )
    try:
        opener = webhook_client.opener(urlsplit(base).hostname)
        with opener.open(request, timeout=LIST_TIMEOUT) as response:
            connectors = json.load(response)["data"]
        if connectors:
            return str(connectors[0]["webhookUrl"])
        sentence = "There is no connector yet: create one with POST /v2/connectors."
    except urllib.error.HTTPError as error:
        error.close()
        sentence = f"{base} answered {error.code} instead of the list of connectors."
    except urllib.error.URLError as error:
        sentence = webhook_client.unreachable(base, error.reason, LIST_TIMEOUT)
    except (OSError, ValueError, LookupError, TypeError):
        sentence = f"{base} did not answer with a list of connectors."
    raise click.ClickException(sentence)


def _watch(phone: Phone) -> None:
    """Show the ladder until the call ends; Ctrl-C hangs up."""
    ladder = _Ladder()
    try:
        while not phone.is_over:
            ladder.show(phone)
            with suppress(TimeoutError):
                phone.join(0.1)
    except KeyboardInterrupt:
        phone.hang_up()
    phone.join()
    ladder.show(phone)


class _Ladder:
    """Prints the events of a call as lines, with a progress bar on a terminal."""

    def __init__(self) -> None:
        self._shown = 0
        self._draws_bar = sys.stderr.isatty()

    def show(self, phone: Phone) -> None:
        self._write("\r\x1b[K" if self._draws_bar else "")
        for event in phone.events[self._shown :]:
            line = f"{event.at:8.3f} s  {event.name:<12} {event.detail or ''}"
            self._write(line.rstrip() + "\n")
            self._shown += 1
        if self._draws_bar and not phone.is_over and phone.planned:
            done = min(1.0, phone.streamed / phone.planned)
            bar = ("█" * round(done * BAR_CELLS)).ljust(BAR_CELLS, "·")
            self._write(f"  {bar} {phone.streamed / RATE:.1f} of {phone.planned / RATE:.1f} s")

    def _write(self, text: str) -> None:
        click.echo(text, nl=False, err=True)
