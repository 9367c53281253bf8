"""Drain: a process that ends hands its calls over to another node, or to the next process.

Where another node serves, it answers the providers as soon as their sockets are closed. Otherwise a
live call is told by its provider's own markup to hold and ask again, and by then the next process
answers. So this process still answers webhooks until every call that had a socket has asked. The
database is not needed for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from threading import Event
from time import monotonic

from service.calls.serving_state import ServingState
from service.cluster.keeper import Keeper
from service.errors import Busy
from service.media.engine.engine import Engine
from service.process.machine import Machine
from service.settings import Settings

logger = logging.getLogger(__name__)

LULL_SECONDS = 1.5
"""Seconds to wait for the next provider to ask. The provider of a dead line never does."""

START_SECONDS = 1.0
"""The part of the first hold that is left to the next process, at least."""

SUCCESSOR_SECONDS = 20.0
"""Longest wait of a worker that ends for one that starts."""

LOOK_SECONDS = 0.1

SETTLE_SECONDS = 0.3
"""Time in which all workers of a stop have noted that they drain. Only then does each of them look
whether another one serves."""


class NodeDrain:
    """The drain of a worker that is one of several. For one thread."""

    def __init__(
        self,
        settings: Settings,
        serving: ServingState,
        engine: Engine,
        machine: Machine,
        keeper: Keeper,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._settings = settings
        self._serving = serving
        self._engine = engine
        self._machine = machine
        self._keeper = keeper
        self._pause = pause or Event().wait

    def run(self) -> None:
        """Wait until the workers that start serve, and close every socket with 1012."""
        deadline = monotonic() + SUCCESSOR_SECONDS
        while self._machine.is_starting() and monotonic() < deadline:
            self._pause(LOOK_SECONDS)
        self._serving.begin_drain()
        try:
            self._keeper.drain()
        except Busy as error:
            logger.warning(
                "the other nodes could not be told that this one ends: %s", error.message
            )
        self._pause(SETTLE_SECONDS)
        if self._serving.refusal is not None:
            hand_over(self._settings, self._serving, self._engine, self._keeper.release)
            return
        calls = len(list(_phones(self._engine)))
        logger.info("this node is ending: %d calls go on in other nodes", calls)
        self._engine.give_back()
        self._keeper.release()


def hand_over(
    settings: Settings,
    serving: ServingState,
    engine: Engine,
    release: Callable[[], object] | None = None,
) -> None:
    """Close every socket with 1012, and wait until the providers have asked what to do.

    ``release`` gives the database to the next process. The wait ends shortly before the first hold
    does, and after ``DRAIN_SECONDS`` at most. With ``REATTACH`` off no provider asks: those calls
    end with their sockets. The recorder's thread still writes the ends of calls.
    """
    serving.begin_drain()
    live = list(_phones(engine)) if settings.reattach else []
    logger.info("the process is ending: %d calls are handed over", len(live))
    serving.expect(live)
    engine.give_back()
    if release is not None:
        # The next process answers from this moment, if it has started.
        release()
    first_back = settings.hold_seconds - START_SECONDS
    if left := serving.wait(settings.drain_seconds, LULL_SECONDS, first_back):
        logger.warning("%d calls were handed over without a new request from their providers", left)


def _phones(engine: Engine) -> Iterable[str]:
    """Return the ids of the calls that have a socket, without the custom WebSockets."""
    try:
        return [leg.call_id for leg in engine.legs() if leg.provider_call_id is not None]
    except TimeoutError:
        logger.error("the media engine does not say which calls it has")
        return ()


def drain(
    settings: Settings,
    serving: ServingState,
    engine: Engine,
    keeper: Keeper,
    machine: Machine | None,
) -> None:
    """Hand the calls over to the next process or, on a ``machine``, to its other workers."""
    if machine is None:
        hand_over(settings, serving, engine, keeper.release)
    else:
        NodeDrain(settings, serving, engine, machine, keeper).run()
