"""Delivery attempts for one receiver, and the pauses between them.

Events are sent in order: an event waits until the one before it is delivered or dead. A turn ends
at the first failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from service import __version__
from service.clock import Clock, Millis
from service.domain.webhooks import Delivery, ReceiverLease
from service.errors import BadGateway
from service.http_client.messages import HttpRequest, HttpResponse
from service.webhooks.claims import TURN_SECONDS, Claim, Claims
from service.webhooks.slow_receivers import SlowReceivers

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 15 * 60.0

TURN_EVENTS = 50
"""Events that one turn sends at most. Then the receiver's thread is free for another receiver."""

BODY_BYTES = 4096
"""Bytes of a response's body that are read, so that the connection can be used again. Only the
status counts."""

GONE = "Its receiver is gone."
EXPIRED = "It could not be delivered in time."


def is_due(due_at: Millis, now: Millis) -> bool:
    """Whether an attempt is due.

    A time that is further away than the longest pause was set before the clock was set back. It
    counts as due.
    """
    return not now < due_at <= now + LONGEST_PAUSE_SECONDS * 1000


def pause(failures: int, chance: float) -> float:
    """Return the seconds to wait after this many failures in a row: exponential backoff with
    jitter.

    ``chance`` (0 to 1) decides over half of the pause, so that receivers which failed together are
    not retried together.
    """
    # The exponent is bounded because a float overflows at 2 ** 1024.
    whole = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS)
    return whole / 2 + whole / 2 * chance


class PendingDeliveries(Protocol):
    """The outbox as delivery uses it; see ``service/storage/webhooks/outbox.py``."""

    def pending(self, receiver: str, limit: int) -> Sequence[Delivery]: ...
    def address(self, receiver: str) -> str | None: ...
    def delivered(
        self, lease: ReceiverLease, delivery_id: str, at: Millis, answer: int
    ) -> bool: ...
    def failed(
        self,
        lease: ReceiverLease,
        delivery_id: str,
        at: Millis,
        answer: int | None,
        error: str,
        due_at: Millis | None,
    ) -> bool: ...
    def give_up(self, lease: ReceiverLease, at: Millis, error: str) -> int: ...
    def expire(self, lease: ReceiverLease, at: Millis, error: str, due_at: Millis) -> int: ...
    def prune(self, receiver: str) -> int: ...


class BodySigner(Protocol):
    def headers(self, body: bytes) -> dict[str, str]: ...


class Sender(Protocol):
    """The HTTP client as delivery uses it; see ``service/http_client/client.py``."""

    def send(self, request: HttpRequest, *, redirects: bool, wanted: int) -> HttpResponse: ...


class OutcomeCounter(Protocol):
    """Counts the outcomes of attempts, and deliveries that are given up."""

    def __call__(self, outcome: str, count: int = 1) -> object: ...


def uncounted(outcome: str, count: int = 1) -> None:
    """Count nothing."""


class DeliveryAttempts:
    """Thread-safe, provided that each receiver has one thread at a time."""

    def __init__(
        self,
        outbox: PendingDeliveries,
        claims: Claims,
        signer: BodySigner,
        sender: Sender,
        clock: Clock,
        slow: SlowReceivers,
        chance: Callable[[], float],
        count_outcome: OutcomeCounter,
    ) -> None:
        self._outbox = outbox
        self._claims = claims
        self._signer = signer
        self._sender = sender
        self._clock = clock
        self._slow = slow
        self._chance = chance
        self._count_outcome = count_outcome

    def take(self, receiver: str, is_stopping: Callable[[], bool]) -> None:
        """Send the due deliveries, until one fails or the turn has lasted long enough.

        Does nothing while another node delivers to this receiver.
        """
        claim = self._claims.take(receiver)
        if claim is None:
            return
        address = self._outbox.address(receiver)
        if address is None:
            self._give_up(claim)
            return
        if self._send_due(claim, address, is_stopping):
            self._claims.keep(claim)
        self._outbox.prune(receiver)

    def _give_up(self, claim: Claim) -> None:
        lost = self._outbox.give_up(claim.lease, self._clock.now(), GONE)
        self._count_outcome("dead", lost)
        self._claims.forget(claim)
        self._slow.forget(claim.receiver)
        self._outbox.prune(claim.receiver)

    def _send_due(self, claim: Claim, address: str, is_stopping: Callable[[], bool]) -> bool:
        """Return false where the claim is lost."""
        began = self._clock.monotonic()
        for delivery in self._outbox.pending(claim.receiver, TURN_EVENTS):
            is_over = self._clock.monotonic() - began > TURN_SECONDS
            is_over |= not self._claims.lasts(claim)
            if is_over or is_stopping() or not self._is_due(delivery):
                break
            error, answer = self._attempt(claim, delivery, address)
            if error is not None:
                return self._fail(claim, delivery, answer, error)
            if not self._succeed(claim, delivery, answer or 0):
                return False
        return True

    def _is_due(self, delivery: Delivery) -> bool:
        return is_due(delivery.due_at or 0, self._clock.now())

    def _attempt(
        self, claim: Claim, delivery: Delivery, address: str
    ) -> tuple[str | None, int | None]:
        """Send an event. Return the error, if any, and the status of the response, if any."""
        body = delivery.body.encode()
        headers = {
            "content-type": "application/json",
            "user-agent": f"Patchbay/{__version__}",
            "x-patchbay-delivery": delivery.id,
            "x-patchbay-event": delivery.event,
            "x-patchbay-attempt": str(delivery.attempts + 1),
            **self._signer.headers(body),
        }
        began = self._clock.monotonic()
        request = HttpRequest("POST", address, headers, body)
        try:
            answer = self._sender.send(request, redirects=True, wanted=BODY_BYTES).status
        except BadGateway as error:
            self._count_outcome("unanswered")
            return f"{error.message[:1].upper()}{error.message[1:]}.", None
        if not 200 <= answer < 300:
            self._count_outcome("refused")
            return f"It answered {answer}.", answer
        self._slow.answered(claim.receiver, self._clock.monotonic() - began)
        return None, answer

    def _succeed(self, claim: Claim, delivery: Delivery, answer: int) -> bool:
        """Note a success. Returns false where the claim is lost."""
        if not self._outbox.delivered(claim.lease, delivery.id, self._clock.now(), answer):
            return False
        self._count_outcome("delivered")
        if failures := claim.lease.failures:
            logger.info("webhooks to %s succeed again after %d failures", claim.receiver, failures)
            claim.failed(0)
        return True

    def _fail(self, claim: Claim, delivery: Delivery, answer: int | None, error: str) -> bool:
        """Note a failure, and plan the next attempt. Returns false where the claim is lost."""
        at, before = self._clock.now(), claim.lease.failures
        # An earlier version did not count the failures of a receiver.
        claim.failed(max(before, delivery.attempts) + 1)
        due_at = at + round(pause(claim.lease.failures, self._chance()) * 1000)
        expires_at = delivery.expires_at or at
        next_at = min(due_at, expires_at) if at < expires_at else None
        if not self._outbox.failed(claim.lease, delivery.id, at, answer, error, next_at):
            return False
        if not before:
            logger.warning("webhooks to %s fail: %s", claim.receiver, error)
        if next_at is None:
            # Expire the overdue events queued behind this one without trying each; send the next
            # live event when the receiver is due.
            lost = 1 + self._outbox.expire(claim.lease, at, EXPIRED, due_at)
            self._count_outcome("dead", lost)
            logger.warning(
                "%d webhook deliveries to %s expired and are given up", lost, claim.receiver
            )
        return True
