"""Signing keys of webhooks: the current one, and the ones that it replaced within the last day.

A pair is made at the first start, and stored encrypted. Of a pair that is given by a setting, or
that was replaced, only the public half is stored. The row that is not retired signs. Transactions
that change it take turns, and the second one finds the key of the first.
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
from service.storage.advisory_locks import take_turns
from service.storage.database import Database
from service.storage.tables import signing_keys

logger = logging.getLogger(__name__)

SIGNING = 7_300_006
"""Advisory lock (Postgres) under which the signing key is chosen."""

PRIVATE_KEYS = "webhook signing keys"
"""Purpose under which the vault encrypts private keys, with the key's id as owner."""

DAY = 86_400_000
"""Time for which a replaced key can verify signatures."""


class SigningKeys:
    """Thread-safe. ``given`` is a private key in PEM, which signs in place of a stored one."""

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
        """Return the pair that signs: one small statement if it is known already.

        A pair is made if there is none, or none that this ``API_SECRET`` decrypts.
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
        """Return the key that signs, and then the keys that were replaced within the last day."""
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
        """Sign with a new pair from now on. The previous one verifies for one more day."""
        pair = KeyPair.generate()
        with self._database.write() as connection:
            take_turns(connection, SIGNING)
            self._succeed(connection, pair, self._sealed(pair))
        return pair

    def _adopt(self, given: KeyPair) -> None:
        """Make the given pair the one that signs, unless it is already."""
        with self._database.write() as connection:
            take_turns(connection, SIGNING)
            row = _signing(connection)
            if row is None or row.id != given.id:
                self._succeed(connection, given, None)

    def _stored(self, row: Row[Any] | None) -> KeyPair:
        """Return the pair of the row that signs, or a new one."""
        known = self._opened(row)
        if known is not None:
            return known
        # Made before the transaction: it takes long, and SQLite has one writer.
        pair = KeyPair.generate()
        with self._database.write() as connection:
            take_turns(connection, SIGNING)
            quicker = self._opened(_signing(connection))
            if quicker is not None:
                return quicker
            self._succeed(connection, pair, self._sealed(pair))
        return pair

    def _opened(self, row: Row[Any] | None) -> KeyPair | None:
        """Return ``None`` if no private half is stored that this ``API_SECRET`` decrypts."""
        if row is None or row.private_key is None:
            return None
        try:
            pem = self._vault.open(row.private_key, row.id)
        except Locked:
            return None
        # Nobody without the API_SECRET can have changed it since it was made.
        return KeyPair.read(pem, is_checked=True)

    def _sealed(self, pair: KeyPair) -> str:
        return self._vault.seal(pair.private_pem(), pair.id)

    def _succeed(self, connection: Connection, pair: KeyPair, private_key: str | None) -> None:
        """Make the pair the one that signs, retire its predecessor, and delete expired ones.

        A predecessor that this ``API_SECRET`` does not decrypt is deleted as well: its origin is
        unknown, so its signatures must not verify.
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
