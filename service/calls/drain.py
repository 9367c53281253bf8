"""Drain: a process that ends hands its calls over to the next one.

A live call is told by its provider's own markup to hold and ask again, and by then the next process
answers. So this process still answers webhooks until every call that had a socket has asked. The
database is not needed for any of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from service.calls.serving_state import ServingState
from service.media.engine.engine import Engine
from service.settings import Settings

logger = logging.getLogger(__name__)

LULL_SECONDS = 1.5
"""Seconds to wait for the next provider to ask. The provider of a dead line never does."""

START_SECONDS = 1.0
"""The part of the first hold that is left to the next process, at least."""


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
        logger.warning("%d calls have not asked what to do now", left)


def _phones(engine: Engine) -> Iterable[str]:
    """Return the ids of the calls that have a socket, without the custom WebSockets."""
    try:
        return [leg.call_id for leg in engine.legs() if leg.provider_call_id is not None]
    except TimeoutError:
        logger.error("the media engine does not say which calls it has")
        return ()
