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
from service.domain.webhooks import Delivery
from service.errors import BadGateway
from service.http_client.messages import HttpRequest, HttpResponse
from service.webhooks.receiver_health import ReceiverHealth

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 15 * 60.0

TURN_EVENTS = 50
"""Events that one turn sends at most. Then the receiver's thread is free for another receiver."""

TURN_SECONDS = 5.0
"""Seconds after which a turn sends no further event."""

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


class DueReceiver(Protocol):
    """A receiver with pending deliveries, and when its oldest one is due."""

    @property
    def receiver(self) -> str: ...

    @property
    def due_at(self) -> Millis: ...


class PendingDeliveries(Protocol):
    """The outbox as delivery uses it; see ``service/storage/webhooks/outbox.py``."""

    def waiting(self) -> Sequence[DueReceiver]: ...
    def pending(self, receiver: str, limit: int) -> Sequence[Delivery]: ...
    def address(self, receiver: str) -> str | None: ...
    def delivered(self, delivery_id: str, at: Millis, answer: int) -> None: ...
    def failed(
        self, delivery_id: str, at: Millis, answer: int | None, error: str, due_at: Millis | None
    ) -> None: ...
    def give_up(self, receiver: str, at: Millis, error: str) -> int: ...
    def expire(self, receiver: str, at: Millis, error: str, due_at: Millis) -> int: ...
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
        signer: BodySigner,
        sender: Sender,
        clock: Clock,
        health: ReceiverHealth,
        chance: Callable[[], float],
        count_outcome: OutcomeCounter,
    ) -> None:
        self._outbox = outbox
        self._signer = signer
        self._sender = sender
        self._clock = clock
        self._health = health
        self._chance = chance
        self._count_outcome = count_outcome

    def take(self, receiver: str, is_stopping: Callable[[], bool]) -> None:
        """Send the due deliveries, until one fails or the turn has lasted long enough."""
        address = self._outbox.address(receiver)
        if address is None:
            self._count_outcome("dead", self._outbox.give_up(receiver, self._clock.now(), GONE))
            self._health.forget(receiver)
        else:
            began = self._clock.monotonic()
            for delivery in self._outbox.pending(receiver, TURN_EVENTS):
                is_over = self._clock.monotonic() - began > TURN_SECONDS
                if is_over or is_stopping() or not self._is_due(delivery):
                    break
                if not self._deliver(delivery, address):
                    break
        self._outbox.prune(receiver)

    def _is_due(self, delivery: Delivery) -> bool:
        return is_due(delivery.due_at or 0, self._clock.now())

    def _deliver(self, delivery: Delivery, address: str) -> bool:
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
        try:
            answer = self._sender.send(
                HttpRequest("POST", address, headers, body), redirects=True, wanted=BODY_BYTES
            ).status
        except BadGateway as error:
            self._count_outcome("unanswered")
            self._fail(delivery, None, f"{error.message[:1].upper()}{error.message[1:]}.")
            return False
        if not 200 <= answer < 300:
            self._count_outcome("refused")
            self._fail(delivery, answer, f"It answered {answer}.")
            return False
        self._outbox.delivered(delivery.id, self._clock.now(), answer)
        self._count_outcome("delivered")
        self._health.answered(delivery.receiver, self._clock.monotonic() - began)
        return True

    def _fail(self, delivery: Delivery, answer: int | None, error: str) -> None:
        at, receiver = self._clock.now(), delivery.receiver
        failures = self._health.failed(receiver, delivery.attempts + 1, error)
        due_at = at + round(pause(failures, self._chance()) * 1000)
        if at < (delivery.expires_at or at):
            due_at = min(due_at, delivery.expires_at or at)
            self._outbox.failed(delivery.id, at, answer, error, due_at)
            return
        # Expire the overdue events queued behind this one without trying each; send the next live
        # event when the receiver is due.
        self._outbox.failed(delivery.id, at, answer, error, None)
        lost = 1 + self._outbox.expire(receiver, at, EXPIRED, due_at)
        self._count_outcome("dead", lost)
        logger.warning("%d webhook deliveries to %s expired and are given up", lost, receiver)
