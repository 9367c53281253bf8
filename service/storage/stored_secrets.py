"""Secrets in the database across a change of ``API_SECRET``: decrypted, kept and encrypted anew.

The names of rooms are made with the ``API_SECRET`` of the first start. This secret stays when
``API_SECRET`` is changed, so that callers find their rooms. It is stored encrypted, and is the last
to be encrypted anew: the secret that decrypts it decrypts everything else.
"""

from __future__ import annotations

from threading import Lock

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import Clock, Millis
from service.errors import Locked
from service.security.encryption import Vault
from service.storage.connectors import CREDENTIALS
from service.storage.connectors import owner as connector_owner
from service.storage.database import Database
from service.storage.resealing import ROOM_NAMES, reseal
from service.storage.tables import connectors, secrets, signing_keys
from service.storage.webhooks.signing_keys import PRIVATE_KEYS

OVERLAP_MILLIS = 30_000
"""Time for another process to end. It hands its calls over in much less."""

WRONG = (
    "API_SECRET is not the one that the secrets in the database were stored under: start with that "
    "one, or set it as API_SECRET_PREVIOUS. Nothing was changed. Where it is lost, "
    "`flask --app wsgi forget-secrets` lets the server start without them."
)


class StoredSecrets:
    """Thread-safe."""

    def __init__(
        self, database: Database, clock: Clock, api_secret: str, previous: str | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._api_secret = api_secret
        self._previous = previous
        self._vault = Vault(api_secret, ROOM_NAMES, previous)
        self._lock = Lock()
        self._known: str | None = None
        self._due_at: Millis | None = None

    def begin(self, *, calls_are_up: bool) -> None:
        """Check ``API_SECRET``, and schedule the encryption of all that is not encrypted under it.

        While calls are up, another process may still be running that knows only the previous
        secret, or that reads what is in the clear. Raises ``Locked`` like ``of_rooms``.
        """
        self.of_rooms()
        self._due_at = self._clock.now() + (OVERLAP_MILLIS if calls_are_up else 0)

    def sweep(self) -> None:
        """Encrypt anew if it is due."""
        if self._due_at is not None and self._clock.now() >= self._due_at:
            self.finish()

    def finish(self) -> None:
        """Encrypt anew unless it is done."""
        if self._due_at is not None:
            reseal(self._database, self._api_secret, self._previous)
            self._due_at = None

    def of_rooms(self) -> str:
        """Return the secret of the pseudonyms in names of rooms. It is read once, and made at the
        first start.

        Raises ``Locked`` if neither ``API_SECRET`` nor the previous one is the right one.
        """
        with self._lock:
            if self._known is None:
                with self._database.read() as connection:
                    stored = _stored(connection)
                if stored is None:
                    stored = self._make()
                try:
                    self._known = self._vault.open(stored, ROOM_NAMES)
                except Locked:
                    raise Locked(WRONG) from None
            return self._known

    def fits(self) -> bool:
        """Return false if the names of rooms are made with a secret that cannot be decrypted."""
        with self._database.read() as connection:
            stored = _stored(connection)
        return stored is None or self._opens(ROOM_NAMES, ROOM_NAMES, stored)

    def begin_anew(self) -> None:
        """Accept this ``API_SECRET``, also where texts are stored under another one."""
        with self._lock, self._database.write() as connection:
            connection.execute(delete(secrets).where(secrets.c.name == ROOM_NAMES))
            _add(connection, self._vault.seal(self._api_secret, ROOM_NAMES))
            self._known = None

    def _make(self) -> str:
        with self._database.write() as connection:
            if not self._opens_something(connection):
                raise Locked(WRONG)
            # An earlier version made the names of rooms with the API_SECRET of its time.
            secret = self._previous or self._api_secret
            _add(connection, self._vault.seal(secret, ROOM_NAMES))
            # Another process may have written it first.
            return str(_stored(connection))

    def _opens_something(self, connection: Connection) -> bool:
        """Whether some text that an earlier version has encrypted can be decrypted."""
        sealed = [
            (CREDENTIALS, connector_owner(row.id), row.credentials)
            for row in connection.execute(
                select(connectors.c.id, connectors.c.credentials).where(
                    connectors.c.credentials.is_not(None)
                )
            )
        ]
        sealed += [
            (PRIVATE_KEYS, row.id, row.private_key)
            for row in connection.execute(
                select(signing_keys.c.id, signing_keys.c.private_key).where(
                    signing_keys.c.private_key.is_not(None)
                )
            )
        ]
        return not sealed or any(self._opens(*each) for each in sealed)

    def _opens(self, purpose: str, owner: str, sealed: str) -> bool:
        try:
            Vault(self._api_secret, purpose, self._previous).open(sealed, owner)
        except Locked:
            return False
        return True


def _stored(connection: Connection) -> str | None:
    sealed = select(secrets.c.sealed).where(secrets.c.name == ROOM_NAMES)
    return connection.execute(sealed).scalar_one_or_none()


def _add(connection: Connection, sealed: str) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(secrets).values(name=ROOM_NAMES, sealed=sealed)
    connection.execute(row.on_conflict_do_nothing(index_elements=[secrets.c.name]))
