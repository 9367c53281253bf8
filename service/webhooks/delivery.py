"""Delivery: one thread sees who has something due, and others take the receivers' turns.

Each receiver has one turn at a time, so that its events keep their order, and a thread of its own
for it, so that it delays nobody else. Where those are used up, receivers that have failed or were
slow may hold half of them, and the others go on in the rest.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from service.clock import Clock
from service.process.background import BackgroundThread
from service.webhooks.attempts import DeliveryAttempts, Outbox, Sender, Signer, Told, uncounted
from service.webhooks.backoff import is_due
from service.webhooks.receiver_health import ReceiverHealth

logger = logging.getLogger(__name__)

THREADS = 64
SUSPECTS = THREADS // 2

LOOK_SECONDS = 5.0
"""Seconds between two looks at the outbox, unless the signal or an attempt asks for one earlier."""

TROUBLE_SECONDS = 2.0
"""Before something is tried again that is no receiver's fault: the database is away, for one."""

FINISH_SECONDS = 5.0
"""How long ``stop`` waits for the attempts under way. What they do not finish is sent again."""


class DeliveryScheduler(BackgroundThread):
    def __init__(
        self,
        outbox: Outbox,
        signer: Signer,
        sender: Sender,
        clock: Clock,
        signal: threading.Event,
        chance: Callable[[], float] = random.random,
        told: Told = uncounted,
    ) -> None:
        super().__init__("delivery", signal)
        self._outbox = outbox
        self._clock = clock
        self._signal = signal
        self._health = ReceiverHealth()
        self._turns = DeliveryAttempts(outbox, signer, sender, clock, self._health, chance, told)
        self._change = threading.Condition()
        # Receivers that have their turn, and whether they are suspect.
        self._busy: dict[str, bool] = {}
        # Where something went wrong that is no receiver's fault.
        self._troubled: set[str] = set()

    def stop(self, seconds: float | None = FINISH_SECONDS) -> None:
        """Begin no more attempts, and wait a moment for those under way."""
        super().stop(seconds)
        with self._change:
            self._change.wait_for(lambda: not self._busy, seconds)

    def _run(self) -> None:
        while True:
            self._signal.clear()
            if self._stopping.is_set():
                return
            self._signal.wait(self._look())

    def _look(self) -> float:
        """Begin the turns that are due; in how many seconds to look again."""
        pause = LOOK_SECONDS
        try:
            waiting = sorted(self._outbox.waiting(), key=lambda one: one.due_at)
            now = self._clock.now()
            for one in waiting:
                if is_due(one.due_at, now):
                    self._begin(one.receiver)
                else:
                    pause = min((one.due_at - now) / 1000, pause)
        except Exception:
            if self._is_news("the outbox"):
                logger.exception("webhooks have to wait: the outbox cannot be read")
            return TROUBLE_SECONDS
        self._calm("the outbox")
        return pause

    def _begin(self, receiver: str) -> None:
        is_suspect = self._health.is_suspect(receiver)
        with self._change:
            is_full = len(self._busy) >= THREADS or (
                is_suspect and sum(self._busy.values()) >= SUSPECTS
            )
            # What is left out now is looked at again when a turn ends.
            if is_full or receiver in self._busy:
                return
            threading.Thread(
                target=self._turn, args=(receiver,), name="delivery-turn", daemon=True
            ).start()
            self._busy[receiver] = is_suspect

    def _turn(self, receiver: str) -> None:
        try:
            self._turns.take(receiver, self._stopping.is_set)
            self._calm(receiver)
        except Exception:
            if self._is_news(receiver):
                logger.exception("webhooks have to wait: a turn of %s broke off", receiver)
            self._stopping.wait(TROUBLE_SECONDS)
        finally:
            with self._change:
                del self._busy[receiver]
                self._change.notify_all()
            self._signal.set()

    def _is_news(self, where: str) -> bool:
        """Note trouble there; whether there was none at all before."""
        with self._change:
            is_first = not self._troubled
            self._troubled.add(where)
            return is_first

    def _calm(self, where: str) -> None:
        with self._change:
            is_last = self._troubled == {where}
            self._troubled.discard(where)
        if is_last:
            logger.info("webhooks go on")
