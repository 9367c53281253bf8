"""References: who may claim a call, how often and until when, on both kinds of database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, LadderStep
from service.errors import Gone, NotFound, ServiceError
from service.storage.calls.calls import START_MILLIS, Calls, Used
from service.storage.database import Database
from tests.support.orphans import orphaned
from tests.support.races import at_once
from tests.support.records import a_call

EXPIRES = 91_000

UNKNOWN = "Unknown media reference"
USED = "This media reference was used already"
OVER = "The call of this media reference is over"


@pytest.fixture
def store(database: Database) -> Calls:
    return Calls(database)


@pytest.fixture
def call(store: Calls) -> Call:
    """An incoming call whose reference has the digest ``ref``."""
    call = a_call(expires_at=EXPIRES)
    assert store.admit(call, "ref", 10)
    return call


def test_a_claim_gives_the_call_to_the_leg(store: Calls, call: Call) -> None:
    claimed = store.claim("ref", "twilio", "leg", EXPIRES - 1)
    assert claimed == store.get(call.id)
    assert claimed.leg_id == "leg"
    assert claimed.status is CallStatus.INCOMING
    assert claimed.steps == (
        *call.steps,
        LadderStep(LadderEvent.SOCKET, EXPIRES - 1, CallStatus.INCOMING),
    )


def test_a_claimed_call_has_a_deadline_to_start(store: Calls, call: Call) -> None:
    claimed = store.claim("ref", "twilio", "leg", EXPIRES - 1)
    assert store.unclaimed(EXPIRES - 2 + START_MILLIS) == []
    assert store.unclaimed(EXPIRES - 1 + START_MILLIS) == [claimed]


def end(store: Calls, call: Call) -> None:
    assert store.end(call.id, EndReason.NO_SOCKET, 3_000)


def use(store: Calls, _call: Call) -> None:
    store.claim("ref", "twilio", "first", 2_000)


def use_and_end(store: Calls, call: Call) -> None:
    use(store, call)
    end(store, call)


def nothing(_store: Calls, _call: Call) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "ref", "provider", "at", "redial", "error", "sentence"),
    [
        (nothing, "other", "twilio", 5_000, False, NotFound, UNKNOWN),
        (nothing, "ref", "plivo", 5_000, False, NotFound, UNKNOWN),
        (use, "ref", "plivo", 5_000, False, NotFound, UNKNOWN),
        (use, "ref", "twilio", 5_000, False, Used, USED),
        (use, "ref", "twilio", EXPIRES, False, Used, USED),
        (use_and_end, "ref", "twilio", 5_000, False, Used, USED),
        (nothing, "ref", "twilio", EXPIRES, False, Gone, "This media reference has expired"),
        (end, "ref", "twilio", 5_000, False, Gone, OVER),
        (nothing, "other", "twilio", 5_000, True, NotFound, UNKNOWN),
        (use, "ref", "plivo", 5_000, True, NotFound, UNKNOWN),
        (nothing, "ref", "twilio", 5_000, True, Gone, "This media reference has not been used yet"),
        (
            use_and_end,
            "ref",
            "twilio",
            5_000,
            True,
            Gone,
            "The call of this media reference is over",
        ),
    ],
)
def test_a_refused_claim_says_why_and_changes_nothing(
    store: Calls,
    call: Call,
    before: Callable[[Calls, Call], None],
    ref: str,
    provider: str,
    at: int,
    redial: bool,
    error: type[ServiceError],
    sentence: str,
) -> None:
    before(store, call)
    unchanged = store.get(call.id)
    with pytest.raises(error) as refused:
        store.claim(ref, provider, "late", at, redial=redial)
    assert type(refused.value) is error
    assert refused.value.message == sentence
    assert store.get(call.id) == unchanged


def test_a_refused_claim_leaves_the_reference_usable(store: Calls, call: Call) -> None:
    with pytest.raises(NotFound):
        store.claim("ref", "plivo", "wrong", 2_000)
    assert store.claim("ref", "twilio", "right", 2_001).leg_id == "right"


def test_a_redial_claims_a_used_reference_again_and_again_past_its_expiry(
    store: Calls, call: Call
) -> None:
    use(store, call)
    assert store.detached(call.id, "first", 2_200, None, None)
    assert store.claim("ref", "twilio", "second", EXPIRES + 1, redial=True).leg_id == "second"
    assert store.detached(call.id, "second", EXPIRES + 2, None, None)
    assert store.claim("ref", "twilio", "third", EXPIRES + 3, redial=True).leg_id == "third"
    assert store.get(call.id).leg_id == "third"


def test_a_redial_is_refused_while_the_leg_that_used_the_reference_is_about_to_start(
    store: Calls, call: Call
) -> None:
    use(store, call)
    unchanged = store.get(call.id)
    with pytest.raises(Used):
        store.claim("ref", "twilio", "thief", 2_100, redial=True)
    assert store.get(call.id) == unchanged


def contest(store: Calls, call: Call) -> None:
    """Let ``second`` in by ``ref2``, while ``first`` streams by ``ref``."""
    use(store, call)
    assert store.answered(call.id, "first", "session", 2_100)
    assert store.reissue(call.id, "ref2", EXPIRES, lambda place: ())
    store.claim("ref2", "twilio", "second", 4_000)


def test_a_claim_leaves_an_answered_call_with_its_leg(store: Calls, call: Call) -> None:
    contest(store, call)
    found = store.get(call.id)
    assert (found.leg_id, found.detached_at) == ("first", None)
    assert found.expires_at == 4_000 + START_MILLIS
    assert found.steps[-1] == LadderStep(LadderEvent.SOCKET, 4_000, CallStatus.ANSWERED)
    assert store.lost(999_000) == store.unclaimed(999_000) == []


def test_a_claim_gives_a_detached_call_time_to_start(store: Calls, call: Call) -> None:
    use(store, call)
    assert store.answered(call.id, "first", "session", 2_100)
    assert store.detached(call.id, "first", 3_000, None, None)
    claimed = store.claim("ref", "twilio", "second", 4_000, redial=True)
    assert (claimed.detached_at, claimed.expires_at) == (3_000, 4_000 + START_MILLIS)
    assert store.lost(3_000) == [claimed]


def test_a_redial_of_an_answered_call_is_refused_while_its_own_leg_is_about_to_start(
    store: Calls, call: Call
) -> None:
    contest(store, call)
    assert store.detached(call.id, "first", 4_100, None, None)
    unchanged = store.get(call.id)
    with pytest.raises(Used):
        store.claim("ref2", "twilio", "thief", 4_200, redial=True)
    assert store.get(call.id) == unchanged
    assert store.answered(call.id, "second", "session", 4_300)


def test_a_redial_is_let_in_while_a_leg_of_another_reference_is_about_to_start(
    store: Calls, call: Call
) -> None:
    contest(store, call)
    store.claim("ref", "twilio", "third", 4_100, redial=True)
    assert store.answered(call.id, "second", "session", 4_200)
    assert store.answered(call.id, "third", "session", 4_300)
    assert store.get(call.id).leg_id == "third"


def test_a_redial_of_a_waiting_call_is_refused_while_any_leg_is_about_to_start(
    store: Calls, call: Call
) -> None:
    use(store, call)
    assert store.detached(call.id, "first", 2_200, None, None)
    assert store.reissue(call.id, "ref2", EXPIRES, lambda place: ())
    store.claim("ref2", "twilio", "second", 2_300)
    unchanged = store.get(call.id)
    with pytest.raises(Used):
        store.claim("ref", "twilio", "thief", 2_400, redial=True)
    assert store.get(call.id) == unchanged
    assert store.answered(call.id, "thief", "session", 2_500) is None


@pytest.mark.parametrize("event", ["started", "lost before the start", "the process restarted"])
def test_a_redial_is_let_in_once_the_leg_of_the_reference_is_not_about_to_start(
    store: Calls, call: Call, event: str
) -> None:
    contest(store, call)
    match event:
        case "started":
            assert store.answered(call.id, "second", "session", 4_100)
        case "lost before the start":
            assert store.detached(call.id, "second", 4_100, None, None) is False
        case _:
            assert orphaned(store, 4_100) == 1
    store.claim("ref2", "twilio", "third", EXPIRES + 1, redial=True)
    assert store.answered(call.id, "third", "session", EXPIRES + 2)
    assert store.get(call.id).leg_id == "third"


def test_a_restart_keeps_a_legs_claim_on_a_waiting_call(store: Calls, call: Call) -> None:
    use(store, call)
    assert orphaned(store, 2_100) == 0
    assert store.answered(call.id, "first", "session", 2_200)


def test_each_reference_of_a_call_works_once(store: Calls, call: Call) -> None:
    assert store.reissue(call.id, "ref2", EXPIRES + 500, lambda place: ())
    assert store.claim("ref2", "twilio", "b", EXPIRES + 1).leg_id == "b"
    assert store.claim("ref", "twilio", "a", EXPIRES - 1).leg_id == "a"
    with pytest.raises(Used):
        store.claim("ref2", "twilio", "c", EXPIRES + 1)


def test_one_of_many_simultaneous_claims_wins(store: Calls, call: Call) -> None:
    results = at_once(16, lambda index: store.claim("ref", "twilio", f"leg{index}", 2_000))
    winners = [result for result in results if isinstance(result, Call)]
    assert len(winners) == 1
    assert sum(isinstance(result, Used) for result in results) == 15
    found = store.get(call.id)
    assert found == winners[0]
    assert [step.event for step in found.steps].count(LadderEvent.SOCKET) == 1


def redial_at_once(store: Calls) -> list[Call | Exception]:
    return at_once(
        16, lambda index: store.claim("ref", "twilio", f"leg{index}", 3_000, redial=True)
    )


def test_no_simultaneous_redial_wins_while_the_leg_is_about_to_start(
    store: Calls, call: Call
) -> None:
    use(store, call)
    unchanged = store.get(call.id)
    assert [type(result) for result in redial_at_once(store)] == [Used] * 16
    assert store.get(call.id) == unchanged


def test_one_of_many_simultaneous_redials_wins_once_the_leg_has_started(
    store: Calls, call: Call
) -> None:
    use(store, call)
    assert store.answered(call.id, "first", "session", 2_100)
    results = redial_at_once(store)
    assert [type(result) for result in results].count(Used) == 15
    assert [result for result in results if isinstance(result, Call)] == [store.get(call.id)]
    events = [step.event for step in store.get(call.id).steps]
    assert events.count(LadderEvent.SOCKET) == 2


def test_no_claim_succeeds_after_the_end_of_a_call(store: Calls) -> None:
    for number in range(12):
        call = a_call()
        assert store.admit(call, f"ref{number}", 100)

        def claim_or_end(index: int, call: Call = call, ref: str = f"ref{number}") -> Call | None:
            if index:
                return store.claim(ref, "twilio", "leg", 2_000)
            return store.end(call.id, EndReason.ENDED_BY_API, 2_000)

        ended, claimed = at_once(2, claim_or_end)
        found = store.get(call.id)
        assert isinstance(ended, Call)
        assert found.status is CallStatus.ENDED
        assert found.steps[-1].event is LadderEvent.END
        assert found.leg_id == ("leg" if isinstance(claimed, Call) else None)
        assert isinstance(claimed, Call | Gone)


def test_a_used_reference_of_an_ended_call_is_known(store: Calls, call: Call) -> None:
    assert store.has_reference("ref")
    assert not store.has_reference("another")
    use(store, call)
    end(store, call)
    assert store.has_reference("ref")
