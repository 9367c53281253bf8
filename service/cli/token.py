"""``flask token``: print an access token for the API."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from service.clock import SystemClock
from service.security import access_tokens
from service.settings import Settings

TEN_YEARS = 87_600


@click.command()
@click.option(
    "--hours",
    type=click.IntRange(1, TEN_YEARS),
    default=24,
    show_default=True,
    help="Validity of the token.",
)
@click.option(
    "--role",
    "roles",
    type=click.Choice(["crawler", "rtc"]),
    multiple=True,
    default=["crawler"],
    show_default=True,
    help="crawler for the API, rtc for joining rooms. May be given twice.",
)
@with_appcontext
def token(hours: int, roles: tuple[str, ...]) -> None:
    """Print an access token for the Authorization header."""
    settings: Settings = current_app.config["SETTINGS"]
    now = SystemClock().now()
    click.echo(
        access_tokens.mint(
            settings.api_key, settings.api_secret, now, seconds=hours * 3600, roles=roles
        )
    )
