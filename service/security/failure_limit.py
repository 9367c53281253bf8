"""How often an address may fail before it is told to come back later.

A bucket of ``BURST`` failures for each address, one of which is forgiven every ``SECONDS``. Nothing
is kept of an address whose requests are good, and asking about one costs nothing until it fails.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from threading import Lock

from service.clock import Clock
from service.http_client.addresses import parsed

logger = logging.getLogger(__name__)

BURST = 100
SECONDS = 1.0

ADDRESSES = 10_000
"""How many are remembered; of more than these, the one whose last failure is longest ago is not."""

UNKNOWN = "no address"
"""The one owner of everything that is no address: a client may invent new ones."""


@dataclass(slots=True)
class _Record:
    forgiven_at: float
    """When all failures will be."""
    limited: bool = False


class FailureLimit:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def count(self, address: str) -> int:
        """Take note of a failure; 0, or for how many seconds this address has had too many."""
        owner, now = _owner(address), self._clock.monotonic()
        with self._lock:
            record = self._records.get(owner)
            if record is None or record.forgiven_at <= now:
                record = self._records[owner] = _Record(now)
            self._records.move_to_end(owner)
            if len(self._records) > ADDRESSES:
                self._records.popitem(last=False)
            wait = _wait(record, now)
            if not wait:
                record.forgiven_at += SECONDS
                return 0
            is_news, record.limited = not record.limited, True
        if is_news:
            logger.warning("requests of %s fail too often: more that fail get 429", owner)
        return wait

    def wait(self, address: str) -> int:
        """What ``count`` would return, with nothing counted."""
        owner, now = _owner(address), self._clock.monotonic()
        with self._lock:
            record = self._records.get(owner)
            return 0 if record is None else _wait(record, now)


def _wait(record: _Record, now: float) -> int:
    """Whole seconds until there is room for one more failure."""
    return max(0, math.ceil(record.forgiven_at + SECONDS - BURST * SECONDS - now))


def _owner(address: str) -> str:
    """Who is behind an address: of IPv6, everybody has at least a /64 to choose from."""
    found = parsed(address)
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return str(ip_network((found.packed, 64), strict=False))
    return str(found)
