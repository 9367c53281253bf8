"""Brings a database to the schema that this version of the code expects.

Revisions are numbered and named for their number: ``versions/0002_what_it_does.py`` holds revision
``0002``. Start one from ``script.py.mako``.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from service.errors import ServiceError

FOLDER = Path(__file__).parent


def head() -> str:
    """The newest revision there is."""
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def current(connection: Connection) -> str | None:
    """The revision of the database; ``None`` where it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def upgrade(connection: Connection) -> None:
    """Run what is missing, inside the transaction that the connection is in.

    Raises ``ServiceError`` where the database is ahead of the code.
    """
    newest, revision = head(), current(connection)
    if revision == newest:
        return
    if revision is not None and revision > newest:
        raise ServiceError(
            f"The database is at revision {revision}, newer than this version of Patchbay, "
            f"which knows up to {newest}."
        )
    # Alembic takes longer to import than all of this takes to run, and mostly there is no need.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, newest)
