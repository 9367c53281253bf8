"""Migration of a database to the schema of this version.

Revisions are numbered and named by their number: ``versions/0002_what_it_does.py`` holds revision
``0002``. Start one from ``script.py.mako``.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from service.errors import ServiceError

FOLDER = Path(__file__).parent


def head() -> str:
    """Return the newest revision of the code."""
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def current(connection: Connection) -> str | None:
    """Return the revision of the database; ``None`` if it has none of our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def upgrade(connection: Connection) -> None:
    """Run the missing revisions inside the connection's transaction.

    Raises ``ServiceError`` if the database is newer than the code.
    """
    newest, revision = head(), current(connection)
    if revision == newest:
        return
    if revision is not None and revision > newest:
        raise ServiceError(
            f"The database is at revision {revision}, newer than this version of Patchbay, "
            f"which knows up to {newest}."
        )
    # Alembic takes longer to import than all of this takes to run, and is rarely needed.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, newest)
