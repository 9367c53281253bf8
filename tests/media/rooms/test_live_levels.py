"""What can be read off a leg is what its statistics say, and reading it stops nothing."""

from __future__ import annotations

from service.media.rooms.decode import MANY
from tests.support.callers import agent, telnyx
from tests.support.clocks import FakeClock
from tests.support.halls import Hall, steady


def test_live_levels_match_statistics_and_leave_steady_legs_batched(clock: FakeClock) -> None:
    hall = Hall(clock)
    parties = [hall.join(telnyx(f"p{number}", room=f"room-{number}")) for number in range(MANY)]
    for turn in range(100):
        early = 0.006 + 0.002 * (turn % 2)
        clock.advance(-early)
        for party in parties:
            # Telnyx counts its chunks: one that is missing was lost.
            if turn != 3 or party is not parties[0]:
                party.speak(steady(500))
            else:
                party.skip()
        clock.advance(early)
        hall.tick()
    live_levels = hall.exchange.live_levels()
    kept = [party for party in parties if party.leg.buffer and party.leg.buffer.owner]
    assert kept
    for party in parties:
        _, _, lost, jitter, waiting = live_levels[party.leg.spec.call_id]
        stats = party.leg.stats()
        assert (lost, jitter, waiting) == (stats["lost"], stats["jitterMs"], stats["bufferMs"])
    assert live_levels["call-p0"][2] == 1


def test_an_empty_exchange_has_no_gauges(clock: FakeClock) -> None:
    hall = Hall(clock)
    hall.join(agent("ann")).leave()
    assert hall.exchange.live_levels() == {}
