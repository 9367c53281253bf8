"""Encryption, under the current ``API_SECRET``, of texts under the previous one or in the clear."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Column, select, update

from service.errors import Locked
from service.security.encryption import Vault
from service.storage import connectors, routing_rule_rows
from service.storage.database import Database
from service.storage.tables import connectors as connector_rows
from service.storage.tables import routing_rules, secrets
from service.storage.tables import signing_keys as key_rows
from service.storage.webhooks import signing_keys

logger = logging.getLogger(__name__)

ROOM_NAMES = "room names"
"""Name of the secret in the names of rooms, and the purpose under which the vault encrypts it."""

BATCH = 100
"""Rows that are read at a time, and written in one transaction."""


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """A column of encrypted texts, with the column that names the owner of each row."""

    id: Column[str]
    sealed: Column[str]
    purpose: str
    owner: Callable[[str], str]


ENCRYPTED_COLUMNS = (
    EncryptedColumn(
        connector_rows.c.id, connector_rows.c.webhook_key, connectors.KEYS, connectors.owner
    ),
    EncryptedColumn(
        connector_rows.c.id, connector_rows.c.credentials, connectors.CREDENTIALS, connectors.owner
    ),
    EncryptedColumn(
        routing_rules.c.id, routing_rules.c.pin, routing_rule_rows.PINS, routing_rule_rows.owner
    ),
    EncryptedColumn(key_rows.c.id, key_rows.c.private_key, signing_keys.PRIVATE_KEYS, str),
    # Last, because the secret that decrypts this text decrypts all others.
    EncryptedColumn(secrets.c.name, secrets.c.sealed, ROOM_NAMES, str),
)


def reseal(database: Database, api_secret: str, previous: str | None) -> int:
    """Encrypt everything under ``api_secret``, and return how many texts were changed. Idempotent.

    A text that neither secret decrypts stays as it is.
    """
    count = 0
    for column in ENCRYPTED_COLUMNS:
        vault = Vault(api_secret, column.purpose, previous)
        for batch in _batches(database, column):
            renewed = [(name, old, _renewed(vault, old, column.owner(name))) for name, old in batch]
            changes = [each for each in renewed if each[2] is not None]
            if not changes:
                continue
            with database.write() as connection:
                for name, old, new in changes:
                    # A value that was set in the meantime stays.
                    mine = (column.id == name) & (column.sealed == old)
                    changed = update(column.id.table).where(mine).values({column.sealed: new})
                    count += connection.execute(changed).rowcount
    if count:
        database.erase()
        logger.info("%d stored secrets have been sealed under the current API_SECRET", count)
    return count


def _batches(database: Database, column: EncryptedColumn) -> Iterator[list[tuple[str, str]]]:
    last = ""
    while True:
        wanted = (
            select(column.id, column.sealed)
            .where(column.id > last, column.sealed.is_not(None))
            .order_by(column.id)
            .limit(BATCH)
        )
        with database.read() as connection:
            batch = [(row[0], row[1]) for row in connection.execute(wanted)]
        if not batch:
            return
        last = batch[-1][0]
        yield batch


def _renewed(vault: Vault, sealed: str, owner: str) -> str | None:
    try:
        return vault.renewed(sealed, owner)
    except Locked:
        logger.warning("The secrets of %s cannot be read with this API_SECRET.", owner)
        return None
