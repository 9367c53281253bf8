"""The tables. Columns have the names of fields in ``service/domain`` where both exist.

Times are epoch milliseconds. ``seq`` orders rows of one millisecond. States and events are stored
as words, so that a new one needs no migration.
"""

from __future__ import annotations

from service.storage.tables.agents import agents, dispatches
from service.storage.tables.base import metadata
from service.storage.tables.calls import (
    PHONE,
    alive,
    calls,
    connectors,
    loudness,
    refs,
    steps,
)
from service.storage.tables.clocks import time_base
from service.storage.tables.console import secrets, sign_in_links
from service.storage.tables.dials import dials
from service.storage.tables.leases import provider_requests, receiver_leases, work_leases
from service.storage.tables.nodes import nodes, room_leases
from service.storage.tables.recordings import (
    FILE_DUE,
    LISTED,
    RUNNING,
    UNFINISHED,
    recordings,
    spools,
)
from service.storage.tables.rooms import ONGOING, OVER, PRESENT, rooms, sessions, stays
from service.storage.tables.routing_rules import INBOUND_NUMBER, routing_rules, rule_numbers
from service.storage.tables.serving import serving
from service.storage.tables.webhooks import (
    FINISHED,
    PENDING,
    deliveries,
    signing_keys,
    subscriptions,
)

__all__ = [
    "FILE_DUE",
    "FINISHED",
    "INBOUND_NUMBER",
    "LISTED",
    "ONGOING",
    "OVER",
    "PENDING",
    "PHONE",
    "PRESENT",
    "RUNNING",
    "UNFINISHED",
    "agents",
    "alive",
    "calls",
    "connectors",
    "deliveries",
    "dials",
    "dispatches",
    "loudness",
    "metadata",
    "nodes",
    "provider_requests",
    "receiver_leases",
    "recordings",
    "refs",
    "room_leases",
    "rooms",
    "routing_rules",
    "rule_numbers",
    "secrets",
    "serving",
    "sessions",
    "sign_in_links",
    "signing_keys",
    "spools",
    "stays",
    "steps",
    "subscriptions",
    "time_base",
    "work_leases",
]
