"""A turn of one receiver: what is due for it, sent in order, one after the other.

An event never overtakes an earlier one, which is first delivered or dead: a turn ends with the
first that fails.
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
from service.webhooks.backoff import is_due, pause
from service.webhooks.receiver_health import ReceiverHealth

logger = logging.getLogger(__name__)

MOST = 50
"""Events of a turn, and seconds of one: then others have theirs."""

MOST_SECONDS = 5.0

WANTED = 4096
"""Bytes of an answer that are read, for the connection's sake: its status is all that counts."""

GONE = "Its receiver is gone."
EXPIRED = "It could not be delivered in time."


class Waiting(Protocol):
    @property
    def receiver(self) -> str: ...

    @property
    def due_at(self) -> Millis: ...


class Outbox(Protocol):
    """What is to be told, and how far it has come; see ``storage.outbox``."""

    def waiting(self) -> Sequence[Waiting]: ...
    def pending(self, receiver: str, limit: int) -> Sequence[Delivery]: ...
    def address(self, receiver: str) -> str | None: ...
    def delivered(self, delivery_id: str, at: Millis, answer: int) -> None: ...
    def failed(
        self, delivery_id: str, at: Millis, answer: int | None, error: str, due_at: Millis | None
    ) -> None: ...
    def bury(self, receiver: str, at: Millis, error: str) -> int: ...
    def lapse(self, receiver: str, at: Millis, error: str, due_at: Millis) -> int: ...
    def prune(self, receiver: str) -> int: ...


class Signer(Protocol):
    def headers(self, body: bytes) -> dict[str, str]: ...


class Sender(Protocol):
    """See ``outgoing``."""

    def send(self, request: HttpRequest, *, redirects: bool, wanted: int) -> HttpResponse: ...


class Told(Protocol):
    """Takes note of the outcome of an attempt, or of events that are given up."""

    def __call__(self, outcome: str, count: int = 1) -> object: ...


def uncounted(outcome: str, count: int = 1) -> None:
    """Nobody counts."""


class DeliveryAttempts:
    """Thread-safe, for one thread of each receiver."""

    def __init__(
        self,
        outbox: Outbox,
        signer: Signer,
        sender: Sender,
        clock: Clock,
        health: ReceiverHealth,
        chance: Callable[[], float],
        told: Told,
    ) -> None:
        self._outbox = outbox
        self._signer = signer
        self._sender = sender
        self._clock = clock
        self._health = health
        self._chance = chance
        self._told = told

    def take(self, receiver: str, is_stopping: Callable[[], bool]) -> None:
        """Send what is due, until one fails or others want to have their turn."""
        address = self._outbox.address(receiver)
        if address is None:
            self._told("dead", self._outbox.bury(receiver, self._clock.now(), GONE))
            self._health.forget(receiver)
        else:
            began = self._clock.monotonic()
            for delivery in self._outbox.pending(receiver, MOST):
                is_over = self._clock.monotonic() - began > MOST_SECONDS
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
                HttpRequest("POST", address, headers, body), redirects=True, wanted=WANTED
            ).status
        except BadGateway as error:
            self._told("unanswered")
            self._fail(delivery, None, f"{error.message[:1].upper()}{error.message[1:]}.")
            return False
        if not 200 <= answer < 300:
            self._told("refused")
            self._fail(delivery, answer, f"It answered {answer}.")
            return False
        self._outbox.delivered(delivery.id, self._clock.now(), answer)
        self._told("delivered")
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
        # Those that have waited behind it for as long do not each have an attempt now, but the next
        # of them has it when the receiver would be tried again anyway.
        self._outbox.failed(delivery.id, at, answer, error, None)
        lost = 1 + self._outbox.lapse(receiver, at, EXPIRED, due_at)
        self._told("dead", lost)
        logger.warning("%d events are given up: they could not be told to %s", lost, receiver)
