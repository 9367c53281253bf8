"""Signals to threads of this process that wait for rows which others write."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection


class ChangeSignal(StrEnum):
    """What a thread can wait for."""

    OUTBOX = "outbox"
    DISPATCHES = "dispatches"
    CALLS = "calls"


def notify_after_commit(connection: Connection, signal: ChangeSignal) -> None:
    """Set the signal once the transaction is committed; a transaction rolled back sets none."""
    connection.info["signals"].add(signal)
