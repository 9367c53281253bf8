"""Rate limit for failed requests of one client address.

Each address has a leaky bucket of ``BURST`` failures, one of which leaks every ``SECONDS``. Nothing
is stored about an address without failures.
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
"""Addresses that are stored. Beyond it, the one whose last failure is oldest is dropped."""

UNKNOWN = "no address"
"""The common owner of texts that are no address: a client can invent any number of them."""


@dataclass(slots=True)
class _Record:
    forgiven_at: float
    """Time at which the bucket is empty."""
    limited: bool = False


class FailureLimit:
    """Thread-safe."""

    def __init__(self, clock: Clock, addresses: int = ADDRESSES) -> None:
        self._clock = clock
        self._addresses = addresses
        self._lock = Lock()
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def count(self, address: str) -> int:
        """Count a failure. Return 0, or the seconds to wait where the bucket is full."""
        owner, now = _owner(address), self._clock.monotonic()
        with self._lock:
            record = self._records.get(owner)
            if record is None or record.forgiven_at <= now:
                record = self._records[owner] = _Record(now)
            self._records.move_to_end(owner)
            if len(self._records) > self._addresses:
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
        """Return what ``count`` would, without counting."""
        owner, now = _owner(address), self._clock.monotonic()
        with self._lock:
            record = self._records.get(owner)
            return 0 if record is None else _wait(record, now)


def _wait(record: _Record, now: float) -> int:
    """Return the whole seconds until the bucket has room for one more failure."""
    return max(0, math.ceil(record.forgiven_at + SECONDS - BURST * SECONDS - now))


def _owner(address: str) -> str:
    """Return the key of an address. For IPv6 it is the /64, because a client has at least one."""
    found = parsed(address)
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return str(ip_network((found.packed, 64), strict=False))
    return str(found)
