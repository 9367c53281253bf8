"""``flask rotate-webhook-key``: create a new webhook key, which running servers detect."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from service.clock import SystemClock
from service.settings import Settings
from service.storage.database import Database
from service.storage.webhooks.signing_keys import SigningKeys

GIVEN = "WEBHOOK_PRIVATE_KEY is set: change it and start the server again to rotate the key."
NO_DATABASE = "There is no database yet: start the server once, which also makes a key."


@click.command("rotate-webhook-key")
@with_appcontext
def rotate() -> None:
    """Sign webhooks with a new key; the previous one stays valid for a day."""
    settings: Settings = current_app.config["SETTINGS"]
    if settings.webhook_private_key is not None:
        raise SystemExit(GIVEN)
    database = Database(settings.database_url)
    try:
        if not database.exists():
            raise SystemExit(NO_DATABASE)
        pair = SigningKeys(
            database, SystemClock(), settings.api_secret, None, settings.api_secret_previous
        ).rotate()
    except Exception as error:
        # The driver's message may hold the database URL, so only the class is shown.
        name = type(error.__cause__ or error).__name__
        raise SystemExit(
            f"The key was not rotated ({name}): start the database, correct "
            "DATABASE_URL, or bring it to the current schema with `flask --app wsgi migrate`."
        ) from error
    finally:
        database.close()
    click.echo(
        f"Webhooks are signed with {pair.id} from now on. /v2/public/rsa-public-key has it, and "
        "for a day the key before it."
    )
