"""Callers who are asked for a PIN, on both kinds of database: each try counts once."""

from __future__ import annotations

import pytest

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, LadderStep
from service.storage.calls.calls import Calls
from service.storage.calls.pins import Pins
from service.storage.database import Database
from tests.support.races import at_once
from tests.support.records import a_call

STEP = LadderStep(LadderEvent.PIN, 2_000, CallStatus.INCOMING, "wrong PIN")
VERIFIED = LadderStep(LadderEvent.VERIFIED, 2_000, CallStatus.VERIFIED)


@pytest.fixture
def calls(database: Database) -> Calls:
    return Calls(database)


@pytest.fixture
def pins(database: Database) -> Pins:
    return Pins(database)


@pytest.fixture
def call(calls: Calls) -> Call:
    """Return a call whose caller was asked twice, and which has no reference."""
    call = a_call(room_id=None, pin_tries=2, attempts=3)
    assert calls.admit(call, None, 10)
    return call


def test_the_right_pin_gives_the_call_a_room_and_a_reference(
    calls: Calls, pins: Pins, call: Call
) -> None:
    assert pins.verified(call.id, 2, "room", "ref", 99_000, lambda place: [VERIFIED])
    stored = calls.get(call.id)
    assert (stored.status, stored.room_id) == (CallStatus.VERIFIED, "room")
    assert (stored.expires_at, stored.attempts, stored.pin_tries) == (99_000, 1, 2)
    assert stored.steps[-1] == VERIFIED
    claimed = calls.claim("ref", "twilio", "leg", 3_000)
    assert (claimed.status, claimed.leg_id) == (CallStatus.VERIFIED, "leg")
    assert calls.answered(call.id, "leg", "s1", 3_001)
    assert calls.get(call.id).status is CallStatus.ANSWERED


def test_a_wrong_pin_counts_as_a_try(calls: Calls, pins: Pins, call: Call) -> None:
    assert pins.asked(call.id, 2, 99_000, STEP)
    stored = calls.get(call.id)
    assert (stored.status, stored.pin_tries) == (CallStatus.INCOMING, 3)
    assert (stored.expires_at, stored.attempts) == (99_000, 1)
    assert stored.steps[-1] == STEP


def test_a_repeated_question_counts_as_an_attempt_and_not_as_a_try(
    calls: Calls, pins: Pins, call: Call
) -> None:
    assert pins.repeated(call.id, 2, 99_000, [STEP])
    stored = calls.get(call.id)
    assert (stored.status, stored.pin_tries) == (CallStatus.INCOMING, 2)
    assert (stored.expires_at, stored.attempts) == (99_000, 4)
    assert stored.steps[-1] == STEP


def test_the_last_wrong_pin_rejects(calls: Calls, pins: Pins, call: Call) -> None:
    assert pins.rejected(call.id, 2, EndReason.NO_PIN, 2_000, STEP)
    stored = calls.get(call.id)
    assert (stored.status, stored.end_reason) == (CallStatus.REJECTED, EndReason.NO_PIN)
    assert stored.ended_at == 2_000
    assert stored.steps[-2:] == (
        STEP,
        LadderStep(LadderEvent.END, 2_000, CallStatus.REJECTED, "no-pin"),
    )


@pytest.mark.parametrize("tries", [1, 3])
def test_an_answer_to_another_try_changes_nothing(
    calls: Calls, pins: Pins, call: Call, tries: int
) -> None:
    assert not pins.verified(call.id, tries, "room", "ref", 99_000, lambda place: [VERIFIED])
    assert not pins.asked(call.id, tries, 99_000, STEP)
    assert not pins.repeated(call.id, tries, 99_000, [STEP])
    assert not pins.rejected(call.id, tries, EndReason.NO_PIN, 2_000, STEP)
    assert calls.get(call.id) == call


@pytest.mark.parametrize("status", [CallStatus.VERIFIED, CallStatus.ENDED])
def test_a_call_that_is_not_asked_cannot_be_verified(
    calls: Calls, pins: Pins, status: CallStatus
) -> None:
    call = a_call(status=status, pin_tries=1)
    calls.add(call)
    assert not pins.verified(call.id, 1, "room", "ref", 99_000, lambda place: [VERIFIED])
    assert not pins.asked(call.id, 1, 99_000, STEP)
    assert not pins.repeated(call.id, 1, 99_000, [STEP])
    assert not pins.rejected(call.id, 1, EndReason.NO_PIN, 2_000, STEP)
    assert calls.get(call.id) == call


def test_one_of_many_simultaneous_answers_to_a_try_counts(
    calls: Calls, pins: Pins, call: Call
) -> None:
    def answer(turn: int) -> bool:
        if turn == 0:
            place = pins.verified(call.id, 2, "room", "ref", 99_000, lambda place: [VERIFIED])
            return place is not None
        return pins.asked(call.id, 2, 99_000, STEP)

    assert at_once(8, answer).count(True) == 1
    assert len(calls.get(call.id).steps) == len(call.steps) + 1
