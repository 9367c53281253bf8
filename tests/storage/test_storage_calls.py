"""Changes of calls, on both kinds of database.

The second half of the file tries every report on a call in every state: which fields it changes,
and that it changes nothing if it is late, repeated or from another leg. Then it tries the orders in
which one socket of a call can follow another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from service.domain.agents import Assignment
from service.domain.calls import WEBSOCKET, Call, CallStatus, EndReason, LadderEvent, LadderStep
from service.domain.nodes import Place
from service.errors import Conflict, NotFound
from service.storage.calls.calls import Calls
from service.storage.database import Database
from tests.support.orphans import orphaned
from tests.support.races import at_once
from tests.support.records import a_call


@pytest.fixture
def store(database: Database) -> Calls:
    return Calls(database)


def test_an_admitted_call_comes_back_with_its_ladder_and_can_be_claimed(store: Calls) -> None:
    call = a_call()
    assert store.admit(call, "ref", 1)
    assert store.get(call.id) == call
    assert store.claim("ref", "twilio", "leg", 90_999).id == call.id


def test_the_agent_of_a_call_comes_back_with_it(store: Calls) -> None:
    call = a_call(agent=Assignment("agent_1", "https://voice.example.com", {"a": {"b": 1}}))
    assert store.admit(call, "ref", 1)
    assert store.get(call.id).agent == call.agent


def test_admit_at_the_limit_writes_nothing(store: Calls) -> None:
    first, second = a_call(), a_call()
    assert store.admit(first, "ref1", 1)
    assert store.admit(second, "ref2", 1) is None
    assert store.live() == 1
    with pytest.raises(NotFound):
        store.get(second.id)
    with pytest.raises(NotFound):
        store.claim("ref2", "twilio", "leg", 2_000)


def test_the_end_of_a_call_makes_room_for_another(store: Calls) -> None:
    first, second = a_call(), a_call()
    assert store.admit(first, "ref1", 1)
    assert store.end(first.id, EndReason.NO_SOCKET, 2_000)
    assert store.admit(second, "ref2", 1)


@pytest.mark.parametrize("limit", [1, 10], ids=["full", "not full"])
def test_admit_refuses_a_call_that_the_connector_has_already(store: Calls, limit: int) -> None:
    call = a_call()
    assert store.admit(call, "ref1", 1)
    again = replace(a_call(), provider_call_id=call.provider_call_id)
    with pytest.raises(Conflict, match="known already"):
        store.admit(again, "ref2", limit)
    with pytest.raises(NotFound):
        store.claim("ref2", "twilio", "leg", 2_000)
    assert store.page().items == (call,)


def test_two_connectors_may_have_a_call_of_the_same_provider_id(store: Calls) -> None:
    call = a_call()
    assert store.admit(call, "ref1", 10)
    elsewhere = replace(a_call(), provider_call_id=call.provider_call_id, connector_id="cn_2")
    assert store.admit(elsewhere, "ref2", 10)


def test_calls_without_a_connector_never_conflict(store: Calls) -> None:
    for ref in ("ref1", "ref2"):
        call = a_call(provider=WEBSOCKET, connector_id=None, provider_call_id="same")
        assert store.admit(call, ref, 10)


def test_admit_needs_to_know_when_the_call_expires(store: Calls) -> None:
    with pytest.raises(ValueError, match="expires_at"):
        store.admit(a_call(expires_at=None), "ref", 10)


def test_rejected_call_is_stored_beyond_the_limit_and_only_once(store: Calls) -> None:
    call = a_call(status=CallStatus.REJECTED, end_reason=EndReason.NO_ROUTE, ended_at=1_000)
    store.add(call)
    assert store.get(call.id) == call
    assert store.live() == 0
    with pytest.raises(Conflict, match="known already"):
        store.add(replace(a_call(), provider_call_id=call.provider_call_id))


def test_many_simultaneous_admissions_stop_exactly_at_the_limit(store: Calls) -> None:
    results = at_once(16, lambda index: store.admit(a_call(), f"ref{index}", 5))
    assert [result is None for result in results].count(True) == 11
    assert store.live() == 5


def test_one_of_two_simultaneous_admissions_of_a_call_conflicts(store: Calls) -> None:
    results = at_once(
        2, lambda index: store.admit(a_call(provider_call_id="CA1"), f"ref{index}", 5)
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Place"]
    assert store.live() == 1


def test_one_of_an_admission_and_a_rejection_of_a_call_conflicts(store: Calls) -> None:
    def admit_or_reject(index: int) -> None:
        call = a_call(provider_call_id="CA1")
        if index:
            store.admit(call, "ref", 5)
        else:
            store.add(call)

    results = at_once(2, admit_or_reject)
    assert [type(result) for result in results].count(Conflict) == 1
    assert store.page().total == 1


def test_one_of_many_simultaneous_ends_ends_the_call(store: Calls) -> None:
    call = a_call()
    assert store.admit(call, "ref", 1)
    results = at_once(8, lambda index: store.end(call.id, EndReason.ENDED_BY_API, 2_000 + index))
    assert [result for result in results if result is not None] == [store.get(call.id)]


def test_simultaneous_reports_of_a_lost_socket_are_one_step(store: Calls) -> None:
    call = a_call()
    assert store.admit(call, "ref", 1)
    store.claim("ref", "twilio", "leg", 2_000)
    results = at_once(8, lambda _: store.detached(call.id, "leg", 3_000, None, None))
    assert sorted(results, key=str) == [False] * 7 + [True]
    events = [step.event for step in store.get(call.id).steps]
    assert events.count(LadderEvent.SOCKET_LOST) == 1


def test_end_returns_the_stored_call(store: Calls) -> None:
    call = a_call()
    assert store.admit(call, "ref", 1)
    ended = store.end(call.id, EndReason.ENDED_BY_API, 9, detail="by Ann")
    assert ended == store.get(call.id)
    assert ended is not None
    assert ended.steps[-1] == LadderStep(LadderEvent.END, 9, CallStatus.ENDED, "by Ann")


def test_a_step_of_a_reissue_has_the_calls_status(store: Calls) -> None:
    call = answered(store)
    asked_again = LadderStep(LadderEvent.WEBHOOK, 5_000, CallStatus.INCOMING)
    assert store.reissue(call.id, "ref9", 95_000, lambda place: [asked_again])
    assert store.get(call.id).steps[-1].status is CallStatus.ANSWERED


def test_end_without_statistics_keeps_the_ones_of_the_last_leg(store: Calls) -> None:
    call = lost(store)
    ended = store.end(call.id, EndReason.CONNECTION_LOST, 5_000)
    assert ended is not None
    assert ended.stats == {"frames": 1}


def test_a_restart_detaches_every_answered_call_that_had_a_socket(store: Calls) -> None:
    attached = []
    for number in range(3):
        call = a_call()
        assert store.admit(call, f"ref{number}", 10)
        store.claim(f"ref{number}", "twilio", "leg", 2_000)
        assert store.answered(call.id, "leg", "session", 2_100)
        attached.append(call.id)
    assert store.detached(attached[2], "leg", 2_500, None, None)
    assert store.admit(a_call(), "ref9", 10)
    assert orphaned(store, 5_000) == 2
    assert [call.detached_at for call in store.lost(9_999)] == [5_000, 5_000, 2_500]
    assert store.get(attached[0]).steps[-1] == LadderStep(
        LadderEvent.SOCKET_LOST, 5_000, CallStatus.ANSWERED, "the process restarted"
    )
    assert orphaned(store, 6_000) == 0


# The states of a call, each reached by its events.


def incoming(store: Calls) -> Call:
    call = a_call(id="c1", expires_at=91_000)
    assert store.admit(call, "ref1", 10)
    return call


def claimed(store: Calls) -> Call:
    incoming(store)
    return store.claim("ref1", "twilio", "A", 2_000)


def answered(store: Calls) -> Call:
    claimed(store)
    assert store.answered("c1", "A", "s1", 2_100)
    return store.get("c1")


def lost(store: Calls) -> Call:
    answered(store)
    assert store.detached("c1", "A", 3_000, "1006", {"frames": 1})
    return store.get("c1")


def reclaimed(store: Calls) -> Call:
    lost(store)
    assert store.reissue("c1", "ref2", 95_000, lambda place: ())
    return store.claim("ref2", "twilio", "B", 4_000)


def claimed_twice(store: Calls) -> Call:
    """Two sockets were let in, and neither has started."""
    claimed(store)
    assert store.reissue("c1", "ref2", 95_000, lambda place: ())
    return store.claim("ref2", "twilio", "B", 2_050)


def contested(store: Calls) -> Call:
    """A second socket was let in while the first one streams."""
    answered(store)
    assert store.reissue("c1", "ref2", 95_000, lambda place: ())
    return store.claim("ref2", "twilio", "B", 4_000)


def back(store: Calls) -> Call:
    reclaimed(store)
    assert store.answered("c1", "B", "s1", 4_100)
    return store.get("c1")


def ended(store: Calls) -> Call:
    answered(store)
    over = store.end("c1", EndReason.CALLER_HUNG_UP, 4_500, leg_id="A")
    assert over is not None
    return over


STATES = (incoming, claimed, claimed_twice, answered, lost, reclaimed, contested, back, ended)

NOW = 5_000
ANSWERED = {
    "status": CallStatus.ANSWERED,
    "answered_at": NOW,
    "session_id": "s2",
    "expires_at": None,
}
STATS = {"frames": 9}
END = {"status": CallStatus.ENDED, "ended_at": NOW, "end_reason": EndReason.ENDED_BY_API}


def end(store: Calls, **only: Any) -> Call | None:
    return store.end("c1", EndReason.ENDED_BY_API, NOW, **only)


def heard(store: Calls, leg: str) -> bool:
    return store.step("c1", leg, LadderEvent.FIRST_AUDIO_IN, NOW, "9 ms")


def played(store: Calls, leg: str) -> bool:
    return store.step("c1", leg, LadderEvent.FIRST_AUDIO_OUT, NOW)


def markup(store: Calls) -> Place | None:
    step = LadderStep(LadderEvent.MARKUP, NOW, CallStatus.INCOMING)
    return store.reissue("c1", "ref9", 99_000, lambda place: [step])


Report = Callable[[Calls], object]
State = Callable[[Calls], Call]

# A report, the step that it adds (event, detail), and its changes in the states where it applies.
REPORTS: dict[str, tuple[Report, tuple[str, str | None] | None, dict[Any, dict[str, Any]]]] = {
    "leg A starts": (
        lambda store: store.answered("c1", "A", "s2", NOW),
        ("start", None),
        {claimed: ANSWERED, claimed_twice: {**ANSWERED, "leg_id": "A"}},
    ),
    "leg B starts": (
        lambda store: store.answered("c1", "B", "s2", NOW),
        ("start", None),
        {
            claimed_twice: ANSWERED,
            reclaimed: {"leg_id": "B", "session_id": "s2", "detached_at": None, "expires_at": None},
            contested: {"leg_id": "B", "session_id": "s2", "expires_at": None},
        },
    ),
    "leg A is heard": (
        lambda store: heard(store, "A"),
        ("first-audio-in", "9 ms"),
        {
            claimed: {"attempts": 0},
            answered: {"attempts": 0},
            lost: {"attempts": 0},
            reclaimed: {"attempts": 0},
            contested: {"attempts": 0},
        },
    ),
    "leg B is heard": (
        lambda store: heard(store, "B"),
        ("first-audio-in", "9 ms"),
        {claimed_twice: {"attempts": 0}, back: {"attempts": 0}},
    ),
    "leg A is played to": (
        lambda store: played(store, "A"),
        ("first-audio-out", None),
        {claimed: {}, answered: {}, lost: {}, reclaimed: {}, contested: {}},
    ),
    "leg A loses its socket": (
        lambda store: store.detached("c1", "A", NOW, "1006", STATS),
        ("socket-lost", "1006"),
        {
            claimed: {"stats": STATS},
            answered: {"stats": STATS, "detached_at": NOW},
            contested: {"stats": STATS, "detached_at": NOW},
        },
    ),
    "leg A loses its socket without statistics": (
        lambda store: store.detached("c1", "A", NOW, None, None),
        ("socket-lost", None),
        {claimed: {}, answered: {"detached_at": NOW}, contested: {"detached_at": NOW}},
    ),
    "leg B loses its socket": (
        lambda store: store.detached("c1", "B", NOW, "1006", STATS),
        ("socket-lost", "1006"),
        {claimed_twice: {"stats": STATS}, back: {"stats": STATS, "detached_at": NOW}},
    ),
    "the process restarts": (
        lambda store: orphaned(store, NOW),
        ("socket-lost", "the process restarted"),
        {
            answered: {"detached_at": NOW},
            contested: {"detached_at": NOW},
            back: {"detached_at": NOW},
        },
    ),
    "the provider asks again": (
        markup,
        ("markup", None),
        {
            incoming: {"attempts": 2, "expires_at": 99_000},
            claimed: {"attempts": 2, "expires_at": 99_000},
            claimed_twice: {"attempts": 3, "expires_at": 99_000},
            answered: {"attempts": 2, "expires_at": 99_000},
            lost: {"attempts": 2, "expires_at": 99_000},
            reclaimed: {"attempts": 3, "expires_at": 99_000},
            contested: {"attempts": 3, "expires_at": 99_000},
            back: {"attempts": 3, "expires_at": 99_000},
        },
    ),
    "somebody ends the call": (
        lambda store: end(store, stats=STATS),
        ("end", "ended-by-api"),
        {
            incoming: {**END, "stats": STATS},
            claimed: {**END, "stats": STATS},
            claimed_twice: {**END, "stats": STATS},
            answered: {**END, "stats": STATS},
            lost: {**END, "stats": STATS, "detached_at": None},
            reclaimed: {**END, "stats": STATS, "detached_at": None},
            contested: {**END, "stats": STATS},
            back: {**END, "stats": STATS},
        },
    ),
    "leg A ends the call": (
        lambda store: end(store, leg_id="A", detail="bye"),
        ("end", "bye"),
        {
            claimed: END,
            answered: END,
            lost: {**END, "detached_at": None},
            reclaimed: {**END, "detached_at": None},
            contested: END,
        },
    ),
    "leg B ends the call": (
        lambda store: end(store, leg_id="B", detail="bye"),
        ("end", "bye"),
        {claimed_twice: END, back: END},
    ),
    "final statistics of leg A": (
        lambda store: store.save_stats("c1", "A", STATS),
        None,
        {ended: {"stats": STATS}},
    ),
    "final statistics of leg B": (lambda store: store.save_stats("c1", "B", STATS), None, {}),
}

# A repeated start is accepted, or its leg would be hung up.
REPEATED = {("leg A starts", answered), ("leg A starts", contested), ("leg B starts", back)}


@pytest.mark.parametrize("state", STATES, ids=lambda state: str(state.__name__))
@pytest.mark.parametrize("report", REPORTS)
def test_a_report_changes_its_call_where_it_applies_and_nothing_else(
    sqlite_database: Database, report: str, state: State
) -> None:
    assert_changes(Calls(sqlite_database), report, state)


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_changes_its_call_on_postgres(postgres_database: Database, report: str) -> None:
    """The statements are the same as on SQLite, so one state for each report is enough."""
    applies = REPORTS[report][2]
    assert_changes(Calls(postgres_database), report, next(iter(applies), incoming))


@pytest.mark.parametrize("report", REPORTS)
def test_a_late_report_changes_nothing_on_postgres(
    postgres_database: Database, report: str
) -> None:
    late = answered if report.startswith("final") else ended
    assert_changes(Calls(postgres_database), report, late)


def assert_changes(store: Calls, report: str, state: State) -> None:
    say, new, applies = REPORTS[report]
    # A restart changes every call.
    others = [] if report == "the process restarts" else [bystander(store)]
    state(store)
    before = store.get("c1")
    said = say(store)
    after = store.get("c1")
    assert [store.get(other.id) for other in others] == others
    if state not in applies:
        assert bool(said) is ((report, state) in REPEATED)
        assert after == before
        return
    assert said
    changed = {
        field.name: getattr(after, field.name)
        for field in fields(Call)
        if field.name != "steps" and getattr(after, field.name) != getattr(before, field.name)
    }
    assert changed == applies[state]
    added = [] if new is None else [LadderStep(LadderEvent(new[0]), NOW, after.status, new[1])]
    assert after.steps == (*before.steps, *added)


def bystander(store: Calls) -> Call:
    """Return another call, answered by a leg of the same name."""
    assert store.admit(a_call(id="c2"), "ref", 10)
    assert store.claim("ref", "twilio", "A", 2_000)
    assert store.answered("c2", "A", "s1", 2_100)
    return store.get("c2")


def test_reports_on_an_unknown_call_change_nothing(store: Calls) -> None:
    other = a_call(id="c2")
    assert store.admit(other, "ref", 10)
    assert not [report for report, (say, _, _) in REPORTS.items() if say(store)]
    assert store.get("c2") == other


# Events of a call that leg A has answered while leg B claims it by another reference; then the leg
# that holds the call, when the call lost its socket (the number of the event), and the new steps.
ORDERS = [
    ("claim B", "A", None, "socket"),
    ("claim B, start A", "A", None, "socket"),
    ("claim B, lose B", "A", None, "socket"),
    ("claim B, lose B, start B", "A", None, "socket"),
    ("claim B, lose B, lose A", "A", 2, "socket socket-lost"),
    ("claim B, lose B, lose A, lose A", "A", 2, "socket socket-lost"),
    ("claim B, lose A", "A", 1, "socket socket-lost"),
    ("claim B, lose A, lose B", "A", 1, "socket socket-lost"),
    ("claim B, lose A, lose B, start B", "A", 1, "socket socket-lost"),
    ("claim B, lose A, start A", "A", 1, "socket socket-lost"),
    ("claim B, lose A, start B", "B", None, "socket socket-lost start"),
    ("claim B, lose A, start B, lose A", "B", None, "socket socket-lost start"),
    ("claim B, lose A, start B, start B", "B", None, "socket socket-lost start"),
    ("claim B, start B", "B", None, "socket start"),
    ("claim B, start B, start B", "B", None, "socket start"),
    ("claim B, start B, start A", "B", None, "socket start"),
    ("claim B, start B, lose A", "B", None, "socket start"),
    ("claim B, start B, lose A, start A", "B", None, "socket start"),
    ("claim B, start B, lose B", "B", 2, "socket start socket-lost"),
    ("claim B, start B, lose B, start B", "B", 2, "socket start socket-lost"),
    ("claim B, start B, lose B, lose A", "B", 2, "socket start socket-lost"),
    ("lose A, claim B", "A", 0, "socket-lost socket"),
    ("lose A, claim B, lose A", "A", 0, "socket-lost socket"),
    ("lose A, claim B, start A", "A", 0, "socket-lost socket"),
    ("lose A, claim B, lose B", "A", 0, "socket-lost socket"),
    ("lose A, claim B, lose B, start B", "A", 0, "socket-lost socket"),
    ("lose A, claim B, start B", "B", None, "socket-lost socket start"),
    ("lose A, claim B, start B, lose B", "B", 3, "socket-lost socket start socket-lost"),
    ("restart, claim B", "A", 0, "socket-lost socket"),
    ("restart, claim B, start B", "B", None, "socket-lost socket start"),
    ("restart, claim B, lose A, start B", "B", None, "socket-lost socket start"),
    ("claim B, restart", "A", 1, "socket socket-lost"),
    ("claim B, restart, start B", "A", 1, "socket socket-lost"),
    ("lose A, claim B, restart", "A", 0, "socket-lost socket"),
]


@pytest.mark.parametrize(("story", "leg", "lost_in", "new_steps"), ORDERS)
def test_the_last_leg_to_start_holds_the_call(
    store: Calls, story: str, leg: str, lost_in: int | None, new_steps: str
) -> None:
    before = answered(store)
    assert store.reissue("c1", "ref2", 95_000, lambda place: ())
    for number, (verb, _, who) in enumerate(part.partition(" ") for part in story.split(", ")):
        at = NOW + number
        match verb:
            case "claim":
                store.claim("ref2", "twilio", who, at)
            case "start":
                store.answered("c1", who, "s1", at)
            case "lose":
                store.detached("c1", who, at, None, None)
            case "restart":
                orphaned(store, at)
    call = store.get("c1")
    assert call.status is CallStatus.ANSWERED
    assert call.leg_id == leg
    assert call.detached_at == (None if lost_in is None else NOW + lost_in)
    assert " ".join(step.event for step in call.steps[len(before.steps) :]) == new_steps
    assert store.unclaimed(999_000) == []
    assert store.lost(999_000) == ([] if lost_in is None else [call])


def test_a_leg_that_never_claimed_a_call_cannot_start_it(store: Calls) -> None:
    call = answered(store)
    other = a_call()
    assert store.admit(other, "ref9", 10)
    store.claim("ref9", "twilio", "C", 4_000)
    assert store.answered(call.id, "C", "s1", NOW) is None
    assert store.get(call.id) == call
    assert store.answered(other.id, "C", "s1", NOW)


def test_simultaneous_reports_of_a_start_are_one_step(store: Calls) -> None:
    contested(store)
    outcomes = at_once(8, lambda _: store.answered("c1", "B", "s1", NOW))
    assert all(isinstance(call, Call) for call in outcomes)
    events = [step.event for step in store.get("c1").steps]
    assert events.count(LadderEvent.START) == 2


def test_simultaneous_sockets_of_a_call_do_not_deadlock(store: Calls) -> None:
    answered(store)
    for index in range(8):
        assert store.reissue("c1", f"other{index}", 95_000, lambda place: ())

    def come_and_go(index: int) -> None:
        store.claim(f"other{index}", "twilio", f"leg{index}", NOW)
        for turn in range(3):
            store.answered("c1", f"leg{index}", "s1", NOW + turn)
            store.detached("c1", f"leg{index}", NOW + turn, None, None)
            orphaned(store, NOW + turn)
            store.claim(f"other{index}", "twilio", f"leg{index}", NOW + turn, redial=True)

    assert at_once(8, come_and_go) == [None] * 8
