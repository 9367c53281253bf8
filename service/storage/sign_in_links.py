"""Sign-in links: each opens the console once, until it expires."""

from __future__ import annotations

from sqlalchemy import delete, insert

from service.clock import Millis
from service.storage.database import Database
from service.storage.tables import sign_in_links


class SignInLinks:
    """Only the digests of the links' secrets are stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, digest: str, now: Millis, expires_at: Millis) -> None:
        with self._database.write() as connection:
            connection.execute(delete(sign_in_links).where(sign_in_links.c.expires_at <= now))
            connection.execute(insert(sign_in_links).values(digest=digest, expires_at=expires_at))

    def use(self, digest: str, now: Millis) -> bool:
        """Use a link up. Returns false if there is no valid one."""
        with self._database.write() as connection:
            used = connection.execute(
                delete(sign_in_links).where(
                    sign_in_links.c.digest == digest, sign_in_links.c.expires_at > now
                )
            )
            return used.rowcount == 1
