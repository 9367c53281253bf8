"""How long to wait before the next attempt. Pure."""

from __future__ import annotations

from service.clock import Millis

FIRST_SECONDS = 2.0
MOST_SECONDS = 15 * 60.0


def is_due(due_at: Millis, now: Millis) -> bool:
    """Whether the time has come. A time further away than any pause was set before the clock was
    put back, and is due as well.
    """
    return not now < due_at <= now + MOST_SECONDS * 1000


def pause(failures: int, chance: float) -> float:
    """Seconds after that many failures in a row: twice as many each time, up to a quarter hour.

    Half of them are left to ``chance`` (0 to 1), so that those who failed together do not come
    back together.
    """
    # Beyond 2 ** 9 it is the most in any case, and a float ends at 2 ** 1023.
    whole = min(FIRST_SECONDS * 2.0 ** min(failures - 1, 10), MOST_SECONDS)
    return whole / 2 + whole / 2 * chance
