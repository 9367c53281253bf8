"""Drain: a process that ends hands its calls to the next one.

A live call is told by its provider's own markup to wait a moment and ask again, and by then the
next process answers. So this one still answers webhooks until every call that had a socket has
asked. The database is not needed for any of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from service.calls.ending import Switchboard
from service.media.engine.engine import Engine

logger = logging.getLogger(__name__)

LULL_SECONDS = 1.5
"""How long to wait for another provider to ask. Of a dead line none ever does."""

START_SECONDS = 1.0
"""How much of the first hold is left to the next process, at least."""


def drain(
    switchboard: Switchboard, engine: Engine, release: Callable[[], object] | None = None
) -> None:
    """Give every socket back with 1012, and wait until the providers have asked what to do.

    The wait ends shortly before the first hold does, and after
    ``DRAIN_SECONDS`` at most. Where ``REATTACH`` is off nobody asks: those calls end with their
    sockets. The calls' ends are written by the ledger, which goes on meanwhile.
    """
    settings, handover = switchboard.settings, switchboard.handover
    handover.begin()
    live = list(_phones(engine)) if settings.reattach else []
    logger.info("the process is ending: %d calls are handed over", len(live))
    handover.expect(live)
    engine.give_back()
    if release is not None:
        # The next process answers from now on, if it has started.
        release()
    first_back = settings.hold_seconds - START_SECONDS
    if left := handover.wait(settings.drain_seconds, LULL_SECONDS, first_back):
        logger.warning("%d calls have not asked what to do now", left)


def _phones(engine: Engine) -> Iterable[str]:
    """The calls that have a socket, without the custom WebSockets."""
    try:
        return [leg.call_id for leg in engine.legs() if leg.provider_call_id is not None]
    except TimeoutError:
        logger.error("the media engine does not say which calls it has")
        return ()
