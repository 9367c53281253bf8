"""A process that delivers events from a database: ``python -m … URL NODE``."""

from __future__ import annotations

import sys

from service.clock import SystemClock
from service.http_client.client import HttpClient
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.webhooks.outbox import Outbox
from service.storage.webhooks.receiver_leases import ReceiverLeases
from service.webhooks.scheduler import DeliveryScheduler


class NoSignature:
    def headers(self, body: bytes) -> dict[str, str]:
        return {}


def scheduler_of(database: Database, node_id: str) -> DeliveryScheduler:
    """A scheduler of one of several nodes, with the machine's clock."""
    clock = SystemClock()
    return DeliveryScheduler(
        ReceiverLeases(database, node_id),
        Outbox(database),
        NoSignature(),
        HttpClient(clock),
        clock,
        database.signals[ChangeSignal.OUTBOX],
        is_shared=lambda: True,
    )


if __name__ == "__main__":
    scheduler_of(Database(sys.argv[1]), sys.argv[2]).start()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    sys.stdin.read()
