"""``flask forget-secrets``: start over with this ``API_SECRET`` if the previous one is lost."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from service.clock import SystemClock
from service.settings import Settings
from service.storage.database import Database
from service.storage.stored_secrets import StoredSecrets

QUESTION = (
    "Stored credentials, PINs and webhook keys that this API_SECRET does not open are lost: "
    "until they are set again, their webhooks are refused and their rules let nobody in. Go on?"
)


@click.command("forget-secrets")
@click.confirmation_option(prompt=QUESTION)
@with_appcontext
def forget() -> None:
    """Let the server start with this API_SECRET if the previous one is lost."""
    settings: Settings = current_app.config["SETTINGS"]
    database = Database(settings.database_url)
    try:
        database.migrate()
        StoredSecrets(database, SystemClock(), *settings.api_secrets).begin_anew()
    finally:
        database.close()
    click.echo(
        "The server starts with this API_SECRET from now on. `doctor` says what to set again."
    )
