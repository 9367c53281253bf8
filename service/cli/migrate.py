"""``flask migrate``: bring the database to the current schema, as the server does on start."""

from __future__ import annotations

import logging

import click
from flask import current_app
from flask.cli import with_appcontext

from service.clock import SystemClock
from service.errors import Busy, Locked
from service.settings import Settings
from service.storage.database import Database
from service.storage.database_faults import is_contended
from service.storage.stored_secrets import StoredSecrets
from service.telemetry.logs import redact

logger = logging.getLogger(__name__)


def prepare(settings: Settings, *, waits: bool) -> bool:
    """Migrate and check the database before a server forks, and return whether that succeeded.

    False means that the server must do it later: another process has locked the database, or
    Postgres is unavailable and the server ``waits`` for it. Raises ``SystemExit`` like ``upgrade``.
    """
    try:
        upgrade(settings.database_url)
        require_secret(settings)
    except SystemExit as end:
        # An SQLite file that cannot be opened will not recover by itself.
        is_away = isinstance(end.__cause__, Busy) and Database(settings.database_url).file is None
        if (waits and is_away) or is_contended(end.__cause__):
            return False
        raise
    except Busy:
        return False
    return True


def upgrade(url: str) -> None:
    """Migrate the database at ``url``. No connection stays open, so a fork may follow.

    Raises ``SystemExit`` with one sentence on failure. The traceback is logged at debug.
    """
    database = Database(url)
    try:
        database.migrate()
    except Exception as error:
        logger.debug("The database was not migrated.", exc_info=True)
        cause = error.__cause__ or error
        reason, *_ = str(cause).splitlines() or [type(cause).__name__]
        raise SystemExit(f"The database cannot be migrated: {redact(reason)}") from error
    finally:
        database.close()


def require_secret(settings: Settings) -> None:
    """Raise ``SystemExit`` with one sentence if ``API_SECRET`` cannot decrypt the stored secrets.

    No connection stays open.
    """
    database = Database(settings.database_url)
    try:
        StoredSecrets(database, SystemClock(), *settings.api_secrets).of_rooms()
    except Locked as error:
        raise SystemExit(error.message) from None
    finally:
        database.close()


@click.command()
@with_appcontext
def migrate() -> None:
    """Bring the database to the current schema."""
    settings: Settings = current_app.config["SETTINGS"]
    upgrade(settings.database_url)
    require_secret(settings)
    click.echo("The database is at the current schema.")
