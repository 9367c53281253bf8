"""Live levels of a leg equal its statistics, and reading them does not unbatch it."""

from __future__ import annotations

from service.media.rooms.decode import MANY
from tests.support.callers import agent, telnyx
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import LiveRoomsHarness, steady


def test_live_levels_match_statistics_and_keep_legs_batched(clock: FakeClock) -> None:
    harness = LiveRoomsHarness(clock)
    clients = [harness.join(telnyx(f"p{number}", room=f"room-{number}")) for number in range(MANY)]
    for turn in range(100):
        early = 0.006 + 0.002 * (turn % 2)
        clock.advance(-early)
        for client in clients:
            # Telnyx numbers its chunks, so a missing one is lost.
            if turn != 3 or client is not clients[0]:
                client.speak(steady(500))
            else:
                client.skip()
        clock.advance(early)
        harness.tick()
    live_levels = harness.live_rooms.live_levels()
    kept = [client for client in clients if client.leg.buffer and client.leg.buffer.owner]
    assert kept
    for client in clients:
        _, _, lost, jitter, waiting = live_levels[client.leg.spec.call_id]
        stats = client.leg.stats()
        assert (lost, jitter, waiting) == (stats["lost"], stats["jitterMs"], stats["bufferMs"])
    assert live_levels["call-p0"][2] == 1


def test_live_rooms_without_legs_have_no_levels(clock: FakeClock) -> None:
    harness = LiveRoomsHarness(clock)
    harness.join(agent("ann")).leave()
    assert harness.live_rooms.live_levels() == {}
