"""The end of a process under its calls: they are handed to the one that comes after it.

A live call is told by its provider's own markup to wait a moment and ask again, and by then the
next process answers. So this one still answers webhooks until every call has asked.
"""

from __future__ import annotations

import logging

from service.calls import Switchboard
from service.media.engine import Engine

logger = logging.getLogger(__name__)


def drain(switchboard: Switchboard, engine: Engine) -> None:
    """Give every socket back with 1012, and wait until the providers have asked what to do.

    ``DRAIN_SECONDS`` at most. Where ``REATTACH`` is off nobody asks: those calls end with their
    sockets. The calls' ends are written by the ledger, which goes on meanwhile.
    """
    clock, settings = switchboard.clock, switchboard.settings
    began = clock.monotonic()
    switchboard.handover.begin()
    live = switchboard.calls.about_to_ask() if settings.reattach else []
    logger.info("the process is ending: %d calls are handed over", len(live))
    switchboard.handover.expect(live)
    engine.stop()
    left = switchboard.handover.wait(settings.drain_seconds - (clock.monotonic() - began))
    if left:
        logger.warning("%d calls have not asked what to do now", left)
