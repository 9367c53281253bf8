"""Claims: the receivers to which this node alone delivers.

A claim lasts for some turns, so that a busy receiver costs a write every few seconds and not one
for each turn. Where other nodes deliver as well, it ends with the turn, and any of them may be
next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

from service.clock import Clock
from service.domain.webhooks import ReceiverLease
from service.storage.leases import WORK_LEASE_SECONDS

ATTEMPT_SECONDS = 12.0
"""Least time that is left of a lease before an attempt. The HTTP client takes 11 s at most, so no
other node can send the same event meanwhile."""

TURN_SECONDS = 5.0
"""Seconds after which a turn sends no further event."""


class Leases(Protocol):
    """The leases as claims use them; see ``service/storage/webhooks/receiver_leases.py``."""

    def claim(self, receiver: str) -> ReceiverLease | None: ...
    def release(self, lease: ReceiverLease) -> None: ...
    def forget(self, lease: ReceiverLease) -> None: ...


@dataclass(slots=True)
class Claim:
    """For one thread at a time. ``until`` is in monotonic time, and earlier than the database's."""

    lease: ReceiverLease
    until: float

    @property
    def receiver(self) -> str:
        return self.lease.receiver

    def failed(self, failures: int) -> None:
        self.lease = replace(self.lease, failures=failures)


class Claims:
    """Thread-safe, provided that each receiver has one thread at a time."""

    def __init__(self, leases: Leases, clock: Clock, is_shared: Callable[[], bool]) -> None:
        self._leases = leases
        self._clock = clock
        self._is_shared = is_shared
        self._lock = Lock()
        self._held: dict[str, Claim] = {}

    def take(self, receiver: str) -> Claim | None:
        """Return a claim for a turn, or ``None`` while another node has the receiver."""
        with self._lock:
            claim = self._held.pop(receiver, None)
        if claim is None or not self.lasts(claim, TURN_SECONDS + ATTEMPT_SECONDS):
            # Read before the claim, so that this node's time is over first.
            now = self._clock.monotonic()
            lease = self._leases.claim(receiver)
            claim = None if lease is None else Claim(lease, now + WORK_LEASE_SECONDS)
        return claim

    def lasts(self, claim: Claim, seconds: float = ATTEMPT_SECONDS) -> bool:
        return self._clock.monotonic() + seconds <= claim.until

    def keep(self, claim: Claim) -> None:
        """Keep the claim for the next turn, unless another node may have it."""
        if self._is_shared():
            self._leases.release(claim.lease)
            return
        with self._lock:
            self._held[claim.receiver] = claim

    def forget(self, claim: Claim) -> None:
        """Remove the lease of a receiver that was deleted."""
        self._leases.forget(claim.lease)
