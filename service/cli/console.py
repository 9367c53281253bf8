"""``flask console``: print a link that signs in to the console once."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from service.clock import Millis, SystemClock
from service.domain import ids
from service.security.console_sessions import LINK_SECONDS, link, new_link_secret
from service.settings import Settings
from service.storage.database import Database
from service.storage.sign_in_links import SignInLinks


def new_link(settings: Settings, base: str, now: Millis) -> str:
    """Create a link to the console at ``base``. No connection stays open, so a fork may follow."""
    secret = new_link_secret()
    database = Database(settings.database_url)
    try:
        SignInLinks(database).add(ids.digest(secret), now, now + LINK_SECONDS * 1000)
    finally:
        database.close()
    return link(base, secret)


@click.command()
@with_appcontext
def console() -> None:
    """Print a link that signs in to the console once, within 15 minutes."""
    settings: Settings = current_app.config["SETTINGS"]
    click.echo(new_link(settings, settings.public_url or settings.local_url, SystemClock().now()))
