"""A migrated SQLite database to copy, which is faster than a migration for every test."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from service.storage.database import Database


@cache
def migrated_file() -> bytes:
    """Return the content of the file of an empty database."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "patchbay.db")
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        return path.read_bytes()
