"""The scheduler of webhook deliveries: one thread finds due receivers and starts their turns.

A receiver has at most one turn at a time, on one node, so that its events keep their order. Each
turn has a thread of its own, so that a slow receiver delays no other. Receivers that have failed or
were slow may hold at most half of the threads.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from service.clock import Clock, Millis
from service.errors import Busy
from service.process.background import BackgroundThread
from service.webhooks.attempts import (
    BodySigner,
    DeliveryAttempts,
    OutcomeCounter,
    PendingDeliveries,
    Sender,
    is_due,
    uncounted,
)
from service.webhooks.claims import Claims, Leases
from service.webhooks.slow_receivers import SlowReceivers

logger = logging.getLogger(__name__)

THREADS = 64
SUSPECTS = THREADS // 2

LOOK_SECONDS = 5.0
"""Longest interval between two looks at the outbox. The signal or a due delivery shortens it."""

TROUBLE_SECONDS = 2.0
"""Pause after a failure that is not the receiver's, for example of the database."""

FINISH_SECONDS = 5.0
"""Seconds for which ``stop`` waits for attempts under way. The next process repeats the others."""


class DueReceiver(Protocol):
    """A receiver with pending deliveries: when its oldest one is due, and its failures in a row."""

    @property
    def receiver(self) -> str: ...

    @property
    def due_at(self) -> Millis: ...

    @property
    def failures(self) -> int: ...


class Receivers(Leases, Protocol):
    """The receivers as the scheduler uses them; see
    ``service/storage/webhooks/receiver_leases.py``.
    """

    def waiting(self) -> Sequence[DueReceiver]: ...
    def release_all(self) -> None: ...


class DeliveryScheduler(BackgroundThread):
    def __init__(
        self,
        receivers: Receivers,
        outbox: PendingDeliveries,
        signer: BodySigner,
        sender: Sender,
        clock: Clock,
        signal: threading.Event,
        chance: Callable[[], float] = random.random,
        count_outcome: OutcomeCounter = uncounted,
        is_shared: Callable[[], bool] = lambda: False,
        trouble_seconds: float = TROUBLE_SECONDS,
    ) -> None:
        """``is_shared`` says whether other nodes deliver as well."""
        super().__init__("delivery", signal)
        self._receivers = receivers
        self._clock = clock
        self._signal = signal
        self._slow = SlowReceivers()
        self._trouble_seconds = trouble_seconds
        self._claims = Claims(receivers, clock, is_shared)
        self._attempts = DeliveryAttempts(
            outbox, self._claims, signer, sender, clock, self._slow, chance, count_outcome
        )
        self._change = threading.Condition()
        # The receivers whose turns are running, and whether each is suspect.
        self._busy: dict[str, bool] = {}
        # Where a failure that is not the receiver's has occurred and not ended.
        self._troubled: set[str] = set()

    def stop(self, seconds: float | None = FINISH_SECONDS) -> None:
        """Start no further attempt, and wait for those under way."""
        super().stop(seconds)
        with self._change:
            self._change.wait_for(lambda: not self._busy, seconds)
        if self._thread is None:
            # A command has claimed nothing, and may have no database.
            return
        try:
            self._receivers.release_all()
        except Busy as error:
            logger.warning("the receivers of webhooks are not given back: %s", error.message)

    def _run(self) -> None:
        while True:
            self._signal.clear()
            if self._stopping.is_set():
                return
            self._signal.wait(self._look())

    def _look(self) -> float:
        """Start the turns that are due, and return the seconds until the next look."""
        pause = LOOK_SECONDS
        try:
            receivers = sorted(self._receivers.waiting(), key=lambda each: each.due_at)
            now = self._clock.now()
            for each in receivers:
                if is_due(each.due_at, now):
                    self._begin(each)
                else:
                    pause = min((each.due_at - now) / 1000, pause)
        except Exception:
            if self._is_first_failure("the outbox"):
                logger.exception("webhooks are delayed: the outbox cannot be read")
            return self._trouble_seconds
        self._recovered("the outbox")
        return pause

    def _begin(self, each: DueReceiver) -> None:
        receiver = each.receiver
        is_suspect = each.failures > 0 or receiver in self._slow
        with self._change:
            is_full = len(self._busy) >= THREADS or (
                is_suspect and sum(self._busy.values()) >= SUSPECTS
            )
            # A receiver that is left out here is looked at again when a turn ends.
            if is_full or receiver in self._busy:
                return
            threading.Thread(
                target=self._turn, args=(receiver,), name="delivery-turn", daemon=True
            ).start()
            self._busy[receiver] = is_suspect

    def _turn(self, receiver: str) -> None:
        try:
            self._attempts.take(receiver, self._stopping.is_set)
            self._recovered(receiver)
        except Exception:
            if self._is_first_failure(receiver):
                logger.exception("webhooks are delayed: a turn of %s failed", receiver)
            self._stopping.wait(self._trouble_seconds)
        finally:
            with self._change:
                del self._busy[receiver]
                self._change.notify_all()
            self._signal.set()

    def _is_first_failure(self, where: str) -> bool:
        """Note a failure there. Return whether there was none anywhere before."""
        with self._change:
            is_first = not self._troubled
            self._troubled.add(where)
            return is_first

    def _recovered(self, where: str) -> None:
        with self._change:
            is_last = self._troubled == {where}
            self._troubled.discard(where)
        if is_last:
            logger.info("webhooks are no longer delayed")
