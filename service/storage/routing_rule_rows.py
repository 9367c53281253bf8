"""Routing rules as rows, with encrypted PINs.

A rule whose PIN cannot be decrypted admits no caller, and keeps the PIN until another is set.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping

from service.domain.routing_rules import RoomPrefix, RoomType, Rule, RuleRoom, RuleType
from service.errors import Locked
from service.security.encryption import Vault

PINS = "PINs"
"""Purpose under which the vault encrypts PINs."""


def owner(rule_id: str) -> str:
    """Return the owner under which the vault encrypts the PIN of a rule."""
    return f"routing rule {rule_id}"


def to_row(rule: Rule, vault: Vault) -> dict[str, object]:
    """Return the columns of a rule; without its PIN where that is locked and has to stay."""
    pin = rule.room.pin
    sealed = {"pin": None if pin is None else vault.seal(pin, owner(rule.id))}
    return {
        "id": rule.id,
        "name": rule.name,
        "type": rule.type,
        "room_type": rule.room.type,
        "room_prefix": rule.room.prefix,
        "room_id": rule.room.id,
        **({} if rule.room.is_locked else sealed),
        "hide_phone_number": rule.hide_phone_number,
        "dtmf": rule.dtmf,
        "allowed_numbers": list(rule.allowed_numbers),
        "extra": dict(rule.extra),
        "created_at": rule.created_at,
        "updated_at": rule.updated_at,
    }


def from_row(row: RowMapping, numbers: Sequence[str], vault: Vault) -> Rule:
    prefix, pin, is_locked = row["room_prefix"], row["pin"], False
    if pin is not None:
        try:
            pin = vault.read(pin, owner(row["id"]))
        except Locked:
            pin, is_locked = None, True
    return Rule(
        id=row["id"],
        name=row["name"],
        type=RuleType(row["type"]),
        numbers=tuple(numbers),
        room=RuleRoom(
            type=RoomType(row["room_type"]),
            prefix=None if prefix is None else RoomPrefix(prefix),
            id=row["room_id"],
            pin=pin,
            is_locked=is_locked,
        ),
        hide_phone_number=row["hide_phone_number"],
        dtmf=row["dtmf"],
        allowed_numbers=tuple(row["allowed_numbers"]),
        extra=row["extra"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
