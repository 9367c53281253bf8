"""Signals to threads of this process that wait for new rows."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Connection


class ChangeSignal(StrEnum):
    """A kind of change that a thread can wait for."""

    OUTBOX = "outbox"
    DISPATCHES = "dispatches"
    CALLS = "calls"
    PROVIDER_REQUESTS = "provider requests"
    RECORDINGS = "recordings"


def notify_after_commit(connection: Connection, signal: ChangeSignal) -> None:
    """Set the signal once the transaction is committed. A rollback sets none."""
    connection.info["signals"].add(signal)
