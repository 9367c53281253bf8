"""Keys that webhooks are signed with: one that signs, and those that did until a day ago.

A pair is made where there is none, and sealed on its way in; of one that is given by a setting only
the public half is stored, and so it is of every pair that has been replaced. What signs is the one
row that is not retired: those who change that take turns, and whoever comes second finds a key.
"""

from __future__ import annotations

import logging
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from service.clock import Clock, Millis
from service.errors import Locked
from service.security.encryption import Vault
from service.security.key_pairs import KeyPair, PublicKey, PublicKeys
from service.storage.database import Database
from service.storage.tables import signing_keys

logger = logging.getLogger(__name__)

SIGNING = 7_300_006
"""Advisory lock (Postgres) under which the key that signs is chosen."""

PRIVATE_KEYS = "webhook signing keys"
"""What the vault seals here, for the key's id."""

DAY = 86_400_000
"""For how long what was signed before a rotation can be verified after it."""


class SigningKeys:
    """Thread-safe. ``given`` is a private key in PEM, which then signs instead of a stored one."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        api_secret: str,
        given: str | None,
        previous: str | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._vault = Vault(api_secret, PRIVATE_KEYS, previous)
        self._given = None if given is None else KeyPair.read(given)
        self._lock = Lock()
        self._known: KeyPair | None = None

    def current(self) -> KeyPair:
        """The pair to sign with, which costs one small statement where it is known already.

        It is made where there is none, or none that this ``API_SECRET`` opens.
        """
        with self._lock:
            if self._given is not None:
                if self._known is None:
                    self._adopt(self._given)
                self._known = self._given
            else:
                with self._database.read() as connection:
                    row = _signing(connection)
                if self._known is None or row is None or row.id != self._known.id:
                    self._known = self._stored(row)
            return self._known

    def published(self) -> PublicKeys:
        """The key that signs, and then those that did until a day ago."""
        self.current()
        recent = or_(
            signing_keys.c.retired_at.is_(None), signing_keys.c.retired_at > self._clock.now() - DAY
        )
        newest = select(signing_keys).where(recent).order_by(signing_keys.c.seq.desc())
        with self._database.read() as connection:
            rows = connection.execute(newest).all()
        return PublicKeys(
            tuple(PublicKey(row.id, row.public_key, _end(row.retired_at)) for row in rows)
        )

    def rotate(self) -> KeyPair:
        """Sign with a new pair from now on; the one before verifies for a day more."""
        pair = KeyPair.generate()
        with self._database.write() as connection:
            self._database.take_turns(connection, SIGNING)
            self._succeed(connection, pair, self._sealed(pair))
        return pair

    def _adopt(self, given: KeyPair) -> None:
        """Let the given pair be the one that signs, unless it is already."""
        with self._database.write() as connection:
            self._database.take_turns(connection, SIGNING)
            row = _signing(connection)
            if row is None or row.id != given.id:
                self._succeed(connection, given, None)

    def _stored(self, row: Row[Any] | None) -> KeyPair:
        """The pair of the row that signs, or else a new one."""
        known = self._opened(row)
        if known is not None:
            return known
        # Before the transaction: it takes long, and SQLite has one writer.
        pair = KeyPair.generate()
        with self._database.write() as connection:
            self._database.take_turns(connection, SIGNING)
            quicker = self._opened(_signing(connection))
            if quicker is not None:
                return quicker
            self._succeed(connection, pair, self._sealed(pair))
        return pair

    def _opened(self, row: Row[Any] | None) -> KeyPair | None:
        """``None`` where there is no private half, or none that this ``API_SECRET`` opens."""
        if row is None or row.private_key is None:
            return None
        try:
            return KeyPair.read(self._vault.open(row.private_key, row.id))
        except Locked:
            return None

    def _sealed(self, pair: KeyPair) -> str:
        return self._vault.seal(pair.private_pem(), pair.id)

    def _succeed(self, connection: Connection, pair: KeyPair, private_key: str | None) -> None:
        """Let the pair sign, retire the key that did, and forget those whose day is over.

        One that this ``API_SECRET`` does not open is forgotten as well: nobody can tell who sealed
        it, so that nothing it has signed shall be believed.
        """
        row = _signing(connection)
        if row is not None and row.private_key is not None and self._opened(row) is None:
            connection.execute(delete(signing_keys).where(signing_keys.c.id == row.id))
            logger.warning(
                "The key that webhooks were signed with cannot be read with this API_SECRET: %s "
                "signs from now on, and receivers must read the public key again.",
                pair.id,
            )
        at = self._clock.now()
        signs = signing_keys.c.retired_at.is_(None)
        connection.execute(
            update(signing_keys).where(signs).values(retired_at=at, private_key=None)
        )
        connection.execute(
            delete(signing_keys).where(
                or_(signing_keys.c.retired_at <= at - DAY, signing_keys.c.id == pair.id)
            )
        )
        connection.execute(
            insert(signing_keys).values(
                id=pair.id, public_key=pair.public_key, private_key=private_key, created_at=at
            )
        )


def _signing(connection: Connection) -> Row[Any] | None:
    signs = select(signing_keys).where(signing_keys.c.retired_at.is_(None))
    return connection.execute(signs).one_or_none()


def _end(retired_at: Millis | None) -> Millis | None:
    return None if retired_at is None else retired_at + DAY
