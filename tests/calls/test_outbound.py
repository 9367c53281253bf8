"""Calls moved, transferred and placed: by what storage says, in any order, and at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import pytest

from service.calls.outbound import CallRequest
from service.domain.agents import Assignment
from service.domain.calls import Call, CallStatus, Direction, EndReason, LadderEvent
from service.domain.connectors import Connector
from service.domain.rooms import Room
from service.domain.routing_rules import RoomPrefix, RoomType, Rule, RuleRoom, RuleType
from service.errors import BadGateway, Busy, Conflict, Forbidden, Invalid, NotFound
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted
from service.providers.base.provider import Webhook
from service.storage.connectors import Connectors
from service.storage.database import Database
from tests.support.clients import Client
from tests.support.clocks import FakeClock
from tests.support.harness import BASE, CALL_IDS, Harness, kept, masked, ref_of, verbs
from tests.support.provider_apis import CREDENTIALS, ProviderApi, provider_api
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule

PROVIDERS = ("twilio", "plivo", "telnyx")
NUMBER = "+442071838750"
UP = "in-progress"


class ControlHarness(Harness):
    """With what providers tell of calls that are moved, transferred or placed."""

    def answered(self, connector: Connector, **fields: str) -> Call:
        leg = self.start(ref_of(self.webhook(connector, **fields)), connector.provider)
        call = self.call(connector)
        assert call.leg_id == leg
        return call

    def hook(self, connector: Connector, **fields: str) -> Webhook:
        name = "CallUUID" if connector.provider == "plivo" else "CallSid"
        return Webhook(tuple({name: CALL_IDS[connector.provider], **fields}.items()))

    def dialled(self, connector: Connector, status: str, **fields: str) -> Element:
        name = "DialStatus" if connector.provider == "plivo" else "DialCallStatus"
        hook = self.hook(connector, **{name: status, "CallStatus": UP, **fields})
        return fromstring(self.callbacks.dialled(connector, hook, BASE).text)

    def lost(self, call: Call, reason: EndReason | None = None) -> None:
        at = self.clock.now()
        self.recorder.record(LegClosed(call.id, call.leg_id, reason, "gone", {}, at))

    def moved(self, call: Call, room_id: str, session_id: str = "s2") -> None:
        self.recorder.record(
            LegMoved(
                call.id, call.leg_id, room_id, call.participant.id, session_id, self.clock.now()
            )
        )


@contextmanager
def control_harness(
    database: Database, clock: FakeClock, **settings: object
) -> Iterator[ControlHarness]:
    harness = ControlHarness(database, clock, **settings)
    try:
        yield harness
    finally:
        harness.stop()


@pytest.fixture
def harness(sqlite_database: Database, clock: FakeClock) -> Iterator[ControlHarness]:
    with control_harness(sqlite_database, clock) as harness:
        yield harness


@pytest.fixture
def each_harness(database: Database, clock: FakeClock) -> Iterator[ControlHarness]:
    """A harness on each kind of database."""
    with control_harness(database, clock) as harness:
        yield harness


@pytest.fixture
def api() -> Iterator[ProviderApi]:
    with provider_api() as api:
        yield api


@pytest.fixture
def calling(
    sqlite_database: Database, clock: FakeClock, api: ProviderApi
) -> Iterator[ControlHarness]:
    """A harness whose providers' REST APIs are on loopback."""
    settings = {f"{name}_api_url": api.url for name in PROVIDERS}
    settings |= {"max_calls": 3, "max_call_seconds": 600}
    with control_harness(sqlite_database, clock, **settings) as harness:
        yield harness


def marked(call_id: str) -> str:
    """An address of ours that says which placed call it is about."""
    return f"{BASE}/hook?placed={call_id}"


def statuses(call: Call, event: LadderEvent) -> list[str]:
    return [step.status.value for step in call.steps if step.event is event]


def keyed(provider: str, **changes: object) -> Connector:
    credentials = {name: (value,) for name, value in CREDENTIALS[provider].items()}
    return a_connector(provider=provider, credentials=credentials, **changes)


def test_a_move_is_written_before_it_happens_and_completed_when_it_has(
    each_harness: ControlHarness,
) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    moving = harness.steering.move(call, "room-2", None)
    assert (moving.room_id, moving.session_id, moving.status) == ("room-2", None, "answered")
    assert moving == harness.calls.get(call.id)
    harness.moved(call, "room-2")
    done = harness.calls.get(call.id)
    assert (done.session_id, done.participant) == ("s2", call.participant)
    assert statuses(done, LadderEvent.MOVED) == ["switch-room-initiated", "switch-room-completed"]
    harness.moved(call, "room-2", "s3")
    assert harness.calls.get(call.id) == done


def test_a_move_may_give_the_call_another_participant_id(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    moving = harness.steering.move(call, "room-2", "zoe")
    assert moving.participant.id == "zoe"
    assert moving.participant.name == call.participant.name


def test_a_move_to_where_the_call_is_changes_nothing(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    assert harness.steering.move(call, call.room_id or "", call.participant.id) == call


def test_an_arrival_in_a_room_that_the_call_has_left_is_none(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    harness.steering.move(call, "room-3", None)
    harness.moved(call, "room-2")
    assert harness.calls.get(call.id).session_id is None
    harness.moved(call, "room-3", "s3")
    after = harness.calls.get(call.id)
    assert (after.session_id, after.is_moving) == ("s3", False)


def test_a_call_without_a_socket_comes_back_in_the_new_room(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.lost(call)
    harness.steering.move(call, "room-2", None)
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    assert (spec.room_id, spec.session_id) == ("room-2", None)
    harness.recorder.record(LegStarted(call.id, spec.leg_id, "s2", harness.clock.now()))
    harness.recorder.record(
        LegMoved(call.id, spec.leg_id, "room-2", call.participant.id, "s2", harness.clock.now())
    )
    assert statuses(harness.calls.get(call.id), LadderEvent.MOVED)[-1] == "switch-room-completed"


def test_a_socket_that_was_let_in_before_the_move_arrives_all_the_same(
    harness: ControlHarness,
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.lost(call)
    ref = ref_of(harness.webhook(connector, CallStatus=UP))
    spec = harness.admission.claim("twilio", ref)
    harness.steering.move(call, "room-2", None)
    start = {
        "streamSid": "MZ1",
        "callSid": CALL_IDS["twilio"],
        "customParameters": {"ref": ref},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    with Client() as client:
        harness.engine.adopt(client.ours, spec)
        client.send(json.dumps({"event": "start", "start": start}).encode())
        started = harness.engine.reports.get(timeout=20)
        assert isinstance(started, LegStarted)
        harness.recorder.record(started)
        assert harness.calls.get(call.id).is_moving
        moved = harness.engine.reports.get(timeout=20)
        assert isinstance(moved, LegMoved)
        harness.recorder.record(moved)
        client.send_close(1000)
        assert isinstance(harness.engine.reports.get(timeout=20), LegClosed)
    done = harness.calls.get(call.id)
    assert not done.is_moving
    assert (done.room_id, done.session_id) == ("room-2", moved.session_id)


def stays(harness: ControlHarness, session_id: str) -> list[tuple[str, int, int | None]]:
    """Who was in a session, from when to when."""
    return [
        (stay.participant_id, stay.joined_at, stay.left_at)
        for stay in harness.stores.sessions.stays(session_id)
    ]


def test_a_move_takes_the_caller_from_one_session_into_the_other(
    each_harness: ControlHarness,
) -> None:
    harness, clock = each_harness, each_harness.clock
    call = harness.answered(harness.connect(a_connector()))
    who, began = call.participant.id, clock.now()
    clock.advance(5)
    harness.steering.move(call, "room-2", None)
    assert stays(harness, "s1") == [(who, began, None)]
    clock.advance(1)
    harness.moved(call, "room-2")
    moved = clock.now()
    assert stays(harness, "s1") == [(who, began, moved)]
    assert stays(harness, "s2") == [(who, moved, None)]
    sessions = harness.stores.sessions
    assert sessions.get("s1").ended_at == moved
    assert (sessions.get("s2").room_id, sessions.get("s2").ended_at) == ("room-2", None)
    clock.advance(1)
    harness.ending.end(call.id)
    assert stays(harness, "s2") == [(who, moved, clock.now())]
    assert sessions.get("s2").ended_at == clock.now()


def test_those_who_stay_go_on_with_their_session(each_harness: ControlHarness) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    other = harness.answered(harness.connect(a_connector(provider="plivo")))
    harness.steering.move(call, "room-2", None)
    harness.moved(call, "room-2")
    assert harness.stores.sessions.get("s1").ended_at is None
    assert harness.stores.sessions.present("s1") == [other.id]


def test_a_caller_without_a_socket_is_in_no_session_until_it_arrives(
    each_harness: ControlHarness,
) -> None:
    harness, clock = each_harness, each_harness.clock
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    began = clock.now()
    harness.lost(call)
    clock.advance(2)
    harness.steering.move(call, "room-2", None)
    assert stays(harness, "s1") == [(call.participant.id, began, clock.now())]
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    clock.advance(1)
    # Where it was let in before the move, the session in which it starts is the old one.
    harness.recorder.record(LegStarted(call.id, spec.leg_id, "s1", clock.now()))
    assert harness.stores.sessions.present("s1") == []
    harness.moved(harness.calls.get(call.id), "room-2")
    assert stays(harness, "s2") == [(call.participant.id, clock.now(), None)]


def test_a_socket_that_is_lost_on_the_way_leaves_the_old_session(
    each_harness: ControlHarness,
) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    harness.lost(call)
    assert harness.stores.sessions.present("s1") == []
    assert harness.stores.sessions.get("s1").ended_at == harness.clock.now()


def test_another_participant_id_in_the_same_room_is_a_stay_of_its_own(
    each_harness: ControlHarness,
) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    room_id = call.room_id or ""
    began = harness.clock.now()
    harness.clock.advance(3)
    harness.steering.move(call, room_id, "zoe")
    harness.moved(harness.calls.get(call.id), room_id, "s1")
    at = harness.clock.now()
    assert stays(harness, "s1") == [(call.participant.id, began, at), ("zoe", at, None)]
    assert harness.stores.sessions.get("s1").ended_at is None


def test_a_room_that_bars_the_participant_is_not_moved_into(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    rooms = harness.stores.rooms
    rooms.deactivate(rooms.ensure("room-2", 1).id, 2)
    with pytest.raises(Forbidden, match="This room is deactivated: nobody can join it"):
        harness.steering.move(call, "room-2", None)
    rooms.create(
        Room("room-3", "object-3", 1, 1, custom_id="lounge", allowed_participant_ids=("zoe",))
    )
    with pytest.raises(Forbidden, match="does not allow a participant of this id"):
        harness.steering.move(call, "lounge", None)
    assert harness.calls.get(call.id) == call
    assert harness.steering.move(call, "lounge", "zoe").room_id == "room-3"


def test_a_room_that_is_deactivated_on_the_way_puts_the_caller_out(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    harness.stores.rooms.deactivate("room-2", harness.clock.now())
    harness.moved(call, "room-2")
    assert harness.calls.get(call.id).end_reason is EndReason.ROOM_DEACTIVATED


def test_a_call_that_ends_on_its_way_has_not_arrived(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    ended = harness.ending.end(call.id)
    assert statuses(ended, LadderEvent.MOVED) == ["switch-room-initiated", "switch-room-failed"]
    assert ended.steps[-1].event is LadderEvent.END
    harness.moved(call, "room-2")
    assert harness.calls.get(call.id) == ended


def test_only_a_call_that_is_answered_can_be_steered(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    harness.webhook(connector)
    call = harness.call(connector)
    for steer in (
        lambda: harness.steering.move(call, "room-2", None),
        lambda: harness.steering.transfer(call, NUMBER),
    ):
        with pytest.raises(Conflict, match="not been answered yet: it is incoming"):
            steer()
    ended = harness.ending.end(call.id)
    for known in (ended, replace(ended, status=CallStatus.ANSWERED)):
        with pytest.raises(Conflict, match="The call is over: it is ended"):
            harness.steering.move(known, "room-2", None)
    assert harness.stores.rooms.find("room-3") is None


def test_ending_and_moving_at_the_same_moment_leaves_an_ended_call(
    each_harness: ControlHarness,
) -> None:
    harness = each_harness
    for turn in range(5):
        connector = harness.connect(a_connector())
        call = harness.answered(connector)

        def steer(index: int, call: Call = call) -> object:
            if index == 0:
                return harness.ending.end(call.id)
            return harness.steering.move(call, f"room-{index}", None)

        outcomes = at_once(4, steer)
        assert all(isinstance(each, Call | Conflict) for each in outcomes), turn
        ended = harness.calls.get(call.id)
        assert ended.status is CallStatus.ENDED
        assert ended.steps[-1].event is LadderEvent.END
        assert not ended.is_moving


def test_a_transfer_and_a_hang_up_at_the_same_moment_leave_an_ended_call(
    each_harness: ControlHarness,
) -> None:
    harness = each_harness
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    work = [
        lambda: harness.steering.transfer(call, NUMBER),
        lambda: harness.webhook(connector, CallStatus="completed"),
        lambda: harness.lost(call),
        lambda: harness.webhook(connector, CallStatus=UP),
    ]
    at_once(len(work), lambda index: work[index]())
    ended = harness.calls.get(call.id)
    assert ended.status is CallStatus.ENDED
    assert not ended.is_transferring
    assert verbs(harness.webhook(connector, CallStatus=UP)) == ["Hangup"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_transfer_is_told_to_the_provider_when_it_asks_again(
    harness: ControlHarness, provider: str
) -> None:
    connector = harness.connect(a_connector(provider=provider))
    call = harness.answered(connector)
    harness.steering.transfer(call, NUMBER)
    harness.lost(call)
    response = harness.webhook(connector, CallStatus=UP)
    assert verbs(response) == ["Dial"]
    assert response[0].get("action") == f"{harness.address(call)}/dial"
    plain = str if provider != "plivo" else lambda number: number.removeprefix("+")
    assert response[0].findtext("Number") == plain(NUMBER)
    assert response[0].get("callerId") == plain("+14155550199")
    again = harness.webhook(connector, CallStatus=UP)
    assert verbs(again) == ["Dial"]
    transferring = harness.call(connector)
    assert statuses(transferring, LadderEvent.TRANSFER) == ["transfer-initiated", "transferring"]
    assert kept(transferring)[-1] == masked(response, connector)


@pytest.mark.parametrize("called", ["4155550199", "+14155550199x5", "sip:harness@example.com"])
def test_a_transfer_shows_a_number_of_ours_or_none(harness: ControlHarness, called: str) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector, To=called)
    harness.steering.transfer(call, NUMBER)
    harness.lost(call)
    assert harness.webhook(connector, CallStatus=UP)[0].get("callerId") is None


@pytest.mark.parametrize("reason", [None, EndReason.CALLER_HUNG_UP], ids=["lost", "stop"])
def test_no_deadline_and_no_stop_message_ends_a_call_that_is_dialled_on(
    harness: ControlHarness, reason: EndReason | None
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, NUMBER)
    harness.lost(call, reason)
    harness.webhook(connector, CallStatus=UP)
    harness.clock.advance(600)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.ANSWERED
    harness.dialled(connector, "completed")
    after = harness.call(connector)
    assert (after.status, after.end_reason) == (CallStatus.ENDED, EndReason.TRANSFERRED)
    assert after.transfer.status is CallStatus.TRANSFERRED


@pytest.mark.parametrize("ends", ["dial", "hang-up"])
def test_a_caller_who_was_handed_on_was_in_the_session_until_then(
    each_harness: ControlHarness, ends: str
) -> None:
    harness = each_harness
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    began = harness.clock.now()
    harness.clock.advance(10)
    harness.steering.transfer(call, NUMBER)
    harness.lost(call)
    harness.webhook(connector, CallStatus=UP)
    handed_on = harness.clock.now()
    harness.clock.advance(600)
    assert harness.stores.sessions.present("s1") == [call.id]
    if ends == "dial":
        harness.dialled(connector, "completed")
    else:
        harness.webhook(connector, CallStatus="completed")
    assert stays(harness, "s1") == [(call.participant.id, began, handed_on)]
    assert harness.stores.sessions.get("s1").ended_at == handed_on


def test_a_provider_that_never_asks_ends_the_transfer_with_the_call(
    harness: ControlHarness,
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, NUMBER)
    harness.lost(call)
    harness.clock.advance(15)
    harness.deadlines.sweep()
    after = harness.call(connector)
    assert after.end_reason is EndReason.CONNECTION_LOST
    assert after.transfer.status is CallStatus.TRANSFER_FAILED


def test_a_provider_that_keeps_asking_is_not_told_to_dial_for_ever(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, NUMBER)
    answers = [verbs(harness.webhook(connector, CallStatus=UP)) for _ in range(6)]
    assert answers == [["Dial"]] * 5 + [["Hangup"]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_failed_transfer_streams_again_and_a_second_callback_changes_nothing(
    harness: ControlHarness, provider: str
) -> None:
    connector = harness.connect(a_connector(provider=provider))
    call = harness.answered(connector)
    harness.steering.transfer(call, NUMBER)
    harness.lost(call)
    harness.webhook(connector, CallStatus=UP)
    for _ in range(2):
        ref = ref_of(harness.dialled(connector, "busy"))
    failed = harness.call(connector)
    assert statuses(failed, LadderEvent.TRANSFER)[2:] == ["transfer-failed"]
    assert failed.detached_at == harness.clock.now()
    spec = harness.admission.claim(provider, ref)
    assert (spec.room_id, spec.participant) == (call.room_id, call.participant)
    again = harness.steering.transfer(harness.call(connector), NUMBER)
    assert again.is_transferring


def test_a_caller_who_is_gone_when_the_dial_ends_has_hung_up(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, NUMBER)
    harness.webhook(connector, CallStatus=UP)
    assert verbs(harness.dialled(connector, "no-answer", CallStatus="completed")) == []
    after = harness.call(connector)
    assert after.end_reason is EndReason.CALLER_HUNG_UP
    assert verbs(harness.dialled(connector, "completed")) == ["Hangup"]


def test_a_dial_of_an_unknown_call_is_hung_up(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    assert verbs(harness.dialled(connector, "completed")) == ["Hangup"]


def test_a_call_that_is_being_transferred_is_left_alone(harness: ControlHarness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.transfer(call, NUMBER)
    for steer in (
        lambda: harness.steering.move(call, "room-2", None),
        lambda: harness.steering.transfer(call, NUMBER),
    ):
        with pytest.raises(Conflict, match="being transferred"):
            steer()


def test_without_reattach_there_is_no_transfer(sqlite_database: Database, clock: FakeClock) -> None:
    with control_harness(sqlite_database, clock, reattach=False) as harness:
        call = harness.answered(harness.connect(a_connector()))
        with pytest.raises(Conflict, match="REATTACH is off"):
            harness.steering.transfer(call, NUMBER)
        assert harness.calls.get(call.id) == call


def test_a_transfer_lasts_no_longer_than_the_call_may(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with control_harness(sqlite_database, clock, max_call_seconds=100) as harness:
        connector = harness.connect(a_connector())
        call = harness.answered(connector)
        harness.steering.transfer(call, NUMBER)
        clock.advance(30)
        assert harness.webhook(connector, CallStatus=UP)[0].get("timeLimit") == "70"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_status_callback_ends_the_call_whose_socket_never_told(
    harness: ControlHarness, provider: str
) -> None:
    connector = harness.connect(a_connector(provider=provider))
    harness.answered(connector)
    harness.callbacks.status(connector, harness.hook(connector, CallStatus=UP))
    assert harness.call(connector).status is CallStatus.ANSWERED
    for status in ("completed", "completed", "ringing", UP):
        harness.callbacks.status(connector, harness.hook(connector, CallStatus=status))
    after = harness.call(connector)
    assert (after.status, after.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert [step.event for step in after.steps].count(LadderEvent.END) == 1


def test_what_goes_wrong_is_on_the_ladder_once_and_also_after_the_end(
    harness: ControlHarness,
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    error = {"StreamEvent": "stream-error", "StreamError": "31924 protocol"}
    for _ in range(3):
        harness.callbacks.status(connector, harness.hook(connector, **error))
    harness.ending.end(call.id)
    for number in range(40):
        words = {"StreamEvent": "stream-error", "StreamError": f"odd {number}"}
        harness.callbacks.status(connector, harness.hook(connector, **words))
    notes = [step for step in harness.call(connector).steps if step.event is LadderEvent.PROVIDER]
    assert notes[0].detail.startswith("Twilio error 31924: a WebSocket frame")
    assert (notes[0].status, notes[1].status) == (CallStatus.ANSWERED, CallStatus.ENDED)
    assert len(notes) == 20


def test_a_callback_of_an_unknown_call_is_nobodys(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    harness.callbacks.status(connector, harness.hook(connector, CallStatus="completed"))
    assert harness.call(connector) is None


def place(harness: ControlHarness, connector: Connector, **wishes: object) -> Call:
    request = CallRequest(callee=NUMBER, caller="+14155550199", connector_id=connector.id, **wishes)
    return harness.outbound.place_call(request, harness.outbound.plan(request), BASE)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_placed_call_is_dialled_with_addresses_of_its_own(
    calling: ControlHarness, api: ProviderApi, provider: str
) -> None:
    connector = calling.connect(keyed(provider))
    call = place(calling, connector, ring_seconds=25, max_seconds=60, metadata={"a": 1})
    [fields] = api.placed
    given = {name.lower(): value for name, value in fields.items()}
    hook = calling.address(call)
    assert (given.get("url") or given["answer_url"]) == hook
    status_url = given.get("statuscallback") or given["hangup_url"]
    assert status_url == f"{hook}/status"
    assert int(given.get("timeout") or given["ring_timeout"]) == 25
    assert int(given.get("timelimit") or given["time_limit"]) == 60
    assert (call.direction, call.status) == (Direction.OUTBOUND, CallStatus.INITIATED)
    assert (call.caller, call.callee) == ("+14155550199", NUMBER)
    assert (call.provider_call_id, call.room_id) == ("made-up-1", connector.default_room_id)
    assert call.participant.metadata == {"sipUser": True, "callType": "outbound"}
    assert (call.participant.name, call.metadata) == (NUMBER, {"a": 1})


def test_the_webhook_of_a_placed_call_finds_it_before_the_provider_has_answered(
    calling: ControlHarness,
) -> None:
    connector = calling.connect(keyed("twilio"))
    call = place(calling, connector)
    params = (("CallSid", "CA-real"), ("CallStatus", UP), ("Direction", "outbound-api"))
    hook = Webhook(params, marked(call.id))
    response = fromstring(calling.inbound.answer(connector, hook, BASE).text)
    assert calling.calls.get(call.id).provider_call_id == "CA-real"
    calling.start(ref_of(response))
    assert calling.calls.get(call.id).status is CallStatus.ANSWERED
    assert calling.calls.page().total == 1


def test_a_placed_call_is_found_only_by_its_own_connector(calling: ControlHarness) -> None:
    call = place(calling, calling.connect(keyed("twilio")))
    other = calling.connect(a_connector(default_room_id=None))
    params = (("CallSid", "CA-thief"), ("CallStatus", "ringing"))
    for placed in (call.id, "no-such-call", ""):
        hook = Webhook(params, marked(placed))
        calling.inbound.answer(other, hook, BASE)
    assert calling.calls.get(call.id) == call


def test_an_inbound_call_cannot_be_taken_for_a_placed_one(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    hook = Webhook((("CallSid", "CA-other"), ("CallStatus", "ringing")), marked(call.id))
    harness.inbound.answer(connector, hook, BASE)
    assert harness.calls.get(call.id) == call
    assert harness.calls.page().total == 2


@pytest.mark.parametrize(
    ("status", "becomes", "reason"),
    [
        ("busy", CallStatus.REJECTED, EndReason.CALLEE_BUSY),
        ("no-answer", CallStatus.NOT_ANSWERED, EndReason.NO_ANSWER),
        ("failed", CallStatus.FAILED, EndReason.PROVIDER_FAILED),
        ("canceled", CallStatus.ABANDONED, EndReason.CANCELED),
        ("completed", CallStatus.ABANDONED, EndReason.CALLER_HUNG_UP),
    ],
)
def test_what_becomes_of_a_placed_call_is_told_by_its_callbacks(
    calling: ControlHarness, status: str, becomes: CallStatus, reason: EndReason
) -> None:
    connector = calling.connect(keyed("twilio"))
    call = place(calling, connector)
    for said in ("ringing", "ringing", status, "ringing"):
        params = (("CallSid", "made-up-1"), ("CallStatus", said))
        calling.callbacks.status(connector, Webhook(params, marked(call.id)))
    after = calling.calls.get(call.id)
    assert (after.status, after.end_reason) == (becomes, reason)
    assert statuses(after, LadderEvent.RINGING) == ["ringing"]


def test_a_placed_call_of_which_nothing_is_heard_is_missed_and_hung_up(
    calling: ControlHarness, api: ProviderApi
) -> None:
    call = place(calling, calling.connect(keyed("twilio")), ring_seconds=20)
    calling.clock.advance(34.9)
    calling.deadlines.sweep()
    assert calling.calls.get(call.id).status is CallStatus.INITIATED
    calling.clock.advance(0.1)
    calling.deadlines.sweep()
    calling.provider_api.stop()
    after = calling.calls.get(call.id)
    assert (after.status, after.end_reason) == (CallStatus.MISSED, EndReason.RING_TIMEOUT)


def test_a_call_that_the_provider_does_not_place_has_failed(
    calling: ControlHarness, api: ProviderApi
) -> None:
    api.trouble = (400, {"code": 21211, "message": "Invalid 'To' Phone Number"})
    connector = calling.connect(keyed("twilio"))
    with pytest.raises(BadGateway, match="Twilio answered 400: 21211 Invalid 'To'"):
        place(calling, connector)
    [call] = calling.calls.page().items
    assert (call.status, call.end_reason) == (CallStatus.FAILED, EndReason.PROVIDER_FAILED)
    assert "21211" in (call.steps[-1].detail or "")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_whose_placing_was_answered_by_half_is_placed(
    calling: ControlHarness, api: ProviderApi, provider: str
) -> None:
    """Its id comes with what the provider asks and tells next."""
    api.cut = True
    connector = calling.connect(keyed(provider))
    call = place(calling, connector)
    assert (call.status, call.provider_call_id) == (CallStatus.INITIATED, call.id)
    name, said = ("CallUUID", "Event") if provider == "plivo" else ("CallSid", "CallbackSource")
    params = ((name, "made-up-1"), ("CallStatus", "ringing"), (said, "Ring"))
    calling.callbacks.status(connector, Webhook(params, marked(call.id)))
    after = calling.calls.get(call.id)
    assert (after.status, after.provider_call_id) == (CallStatus.RINGING, "made-up-1")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_that_was_ended_before_its_id_was_known_is_hung_up_when_it_rings(
    calling: ControlHarness, api: ProviderApi, provider: str
) -> None:
    api.cut = True
    connector = calling.connect(keyed(provider))
    call = place(calling, connector)
    calling.ending.end(call.id)
    name, said = ("CallUUID", "Event") if provider == "plivo" else ("CallSid", "CallbackSource")
    params = ((name, "made-up-1"), ("CallStatus", "ringing"), (said, "Ring"))
    for _ in range(2):
        calling.callbacks.status(connector, Webhook(params, marked(call.id)))
    calling.provider_api.stop()
    assert api.hung_up == ["made-up-1"]
    assert calling.calls.get(call.id).end_reason is EndReason.ENDED_BY_API


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_hang_up_that_was_answered_by_half_is_one(
    calling: ControlHarness, api: ProviderApi, provider: str
) -> None:
    call = place(calling, calling.connect(keyed(provider)))
    api.cut = True
    calling.ending.end(call.id)
    calling.provider_api.stop()
    assert api.hung_up == ["made-up-1"]
    [said] = [
        step.detail
        for step in calling.calls.get(call.id).steps
        if step.event is LadderEvent.PROVIDER
    ]
    assert said is not None
    assert said.endswith("was told to hang up.")


def test_wrong_credentials_are_refused_by_the_provider_and_never_shown(
    calling: ControlHarness, api: ProviderApi
) -> None:
    connector = keyed("twilio")
    wrong = {**connector.credentials, "authToken": ("hunter2",)}
    stored = calling.connect(a_connector(credentials=wrong))
    with pytest.raises(BadGateway, match="401") as caught:
        place(calling, stored)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(calling.calls.page().items)
    assert len(api.refused) == 1


def test_an_unreachable_provider_is_a_bad_gateway(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with (
        control_harness(sqlite_database, clock, twilio_api_url="http://127.0.0.1:1") as harness,
        pytest.raises(BadGateway, match="Twilio could not be asked: no answer"),
    ):
        place(harness, harness.connect(keyed("twilio")))


def test_placed_calls_count_towards_the_limit(calling: ControlHarness, api: ProviderApi) -> None:
    connector = calling.connect(keyed("twilio"))
    for _ in range(3):
        place(calling, connector)
    with pytest.raises(Busy):
        place(calling, connector, room_id="never-seen-0001")
    assert calling.stores.rooms.find("never-seen-0001") is None
    assert len(api.placed) == 3
    calling.drain.begin()
    with pytest.raises(Busy, match="restarting"):
        place(calling, connector)


def test_a_connector_without_credentials_places_no_calls(harness: ControlHarness) -> None:
    connector = harness.connect(a_connector())
    with pytest.raises(Invalid, match="it lacks the credentials accountSid, authToken"):
        place(harness, connector)
    half = harness.connect(a_connector(provider="telnyx", credentials={"apiKey": ("k",)}))
    with pytest.raises(Invalid, match="it lacks the credentials accountSid, applicationId"):
        place(harness, half)
    with pytest.raises(NotFound):
        harness.outbound.plan(CallRequest(callee=NUMBER, connector_id="cn_none"))


OURS = "+14155550111"


def outbound(harness: ControlHarness, **changes: object) -> Rule:
    rule = a_rule(**{"id": "rr_out", "type": RuleType.OUTBOUND, "numbers": (OURS,), **changes})
    harness.stores.routing_rules.add(rule)
    return rule


def test_an_outbound_rule_has_the_number_and_the_room(harness: ControlHarness) -> None:
    connector = harness.connect(keyed("twilio"))
    outbound(harness)
    for request in (
        CallRequest(callee=NUMBER, rule_id="rr_out"),
        CallRequest(callee=NUMBER, caller=OURS),
    ):
        plan = harness.outbound.plan(request)
        assert (plan.connector.id, plan.caller) == (connector.id, OURS)
        assert plan.rule is not None
        assert (plan.room_name, plan.rule.id) == ("rule-room-0001", "rr_out")
    there = harness.outbound.plan(CallRequest(callee=NUMBER, rule_id="rr_out", room_id="r9"))
    assert there.room_name == "r9"
    assert there.rule is not None
    other = harness.outbound.plan(CallRequest(callee=NUMBER, caller="+14155550112"))
    assert (other.rule, other.room_name) == (None, connector.default_room_id)


def test_of_two_outbound_rules_for_a_number_the_newest_decides(harness: ControlHarness) -> None:
    harness.connect(keyed("twilio"))
    outbound(harness)
    outbound(harness, id="rr_new", room=RuleRoom(RoomType.STATIC, None, "newer-room", None))
    assert harness.outbound.plan(CallRequest(callee=NUMBER, caller=OURS)).room_name == "newer-room"


def test_only_an_outbound_rule_places_calls(harness: ControlHarness) -> None:
    harness.connect(keyed("twilio"))
    harness.stores.routing_rules.add(a_rule(id="rr_in"))
    with pytest.raises(Invalid, match="routingRuleId must name an outbound rule"):
        harness.outbound.plan(CallRequest(callee=NUMBER, rule_id="rr_in"))
    with pytest.raises(NotFound):
        harness.outbound.plan(CallRequest(callee=NUMBER, rule_id="rr_none"))


def test_the_connector_of_a_number_is_the_one_whose_rule_has_it(harness: ControlHarness) -> None:
    harness.stores.routing_rules.add(a_rule(id="rr_in", numbers=(OURS, "+14155550112")))
    harness.connect(keyed("plivo"))
    ours = harness.connect(keyed("twilio", default_rule_id="rr_in"))
    plan = harness.outbound.plan(CallRequest(callee=NUMBER, caller="+14155550112"))
    assert plan.connector.id == ours.id
    named = harness.outbound.plan(CallRequest(callee=NUMBER, connector_id=ours.id))
    assert (named.caller, named.room_name) == (OURS, ours.default_room_id)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (RoomPrefix.PARTICIPANT_NUMBER, "participant-442071838750"),
        (RoomPrefix.SIP_NUMBER, "number-14155550111"),
        (RoomPrefix.BLANK, ""),
    ],
)
def test_the_dynamic_room_of_a_placed_call_is_named_after_the_number_outside(
    calling: ControlHarness, prefix: RoomPrefix, name: str
) -> None:
    connector = calling.connect(keyed("twilio"))
    outbound(calling, room=RuleRoom(RoomType.DYNAMIC, prefix, None, None))
    request = CallRequest(callee=NUMBER, caller=OURS, connector_id=connector.id)
    plan = calling.outbound.plan(request)
    assert plan.room_name == name
    call = calling.outbound.place_call(request, plan, BASE)
    assert calling.stores.rooms.get(call.room_id or "").custom_id == (name or None)


def test_a_rule_says_what_the_room_learns_of_a_placed_call(calling: ControlHarness) -> None:
    connector = calling.connect(keyed("twilio"))
    outbound(calling, hide_phone_number=True, dtmf=False)
    for wishes, expected in (
        ({}, (True, False, "***50")),
        ({"hides_number": False, "dtmf": True}, (False, True, NUMBER)),
        ({"participant_name": "Zoe"}, (True, False, "Zoe")),
    ):
        request = CallRequest(callee=NUMBER, caller=OURS, connector_id=connector.id, **wishes)
        call = calling.outbound.place_call(request, calling.outbound.plan(request), BASE)
        assert (call.hides_number, call.dtmf, call.participant.name) == expected
        assert (call.remote, call.rule_id) == (NUMBER, "rr_out")


def test_the_agent_of_an_outbound_rule_is_the_placed_calls(calling: ControlHarness) -> None:
    connector = calling.connect(keyed("twilio"))
    outbound(calling, extra={"agent_id": "agent_1"})
    request = CallRequest(callee=NUMBER, caller=OURS, connector_id=connector.id)
    call = calling.outbound.place_call(request, calling.outbound.plan(request), BASE)
    assert calling.calls.get(call.id).agent == Assignment("agent_1", BASE)


def test_a_placed_call_has_the_region_of_whom_it_calls(calling: ControlHarness) -> None:
    connector = calling.connect(keyed("twilio"))
    there = CallRequest(callee="+919876543210", caller=OURS, connector_id=connector.id)
    assert calling.outbound.place_call(there, calling.outbound.plan(there), BASE).region == "in002"
    assert place(calling, connector).region == "us002"
    assert place(calling, calling.connect(keyed("plivo", region="eu1"))).region == "eu1"


def test_a_connector_that_cannot_be_read_places_no_calls(harness: ControlHarness) -> None:
    connector = keyed("twilio")
    elsewhere = Connectors(harness.database, "another secret")
    elsewhere.add(connector)
    with pytest.raises(Conflict, match="cannot be read with this API_SECRET; set them again"):
        place(harness, connector)
    with pytest.raises(Invalid, match="0 connectors can place calls"):
        harness.outbound.plan(CallRequest(callee=NUMBER, caller=OURS))


def test_a_room_that_bars_the_participant_is_not_called_into(
    calling: ControlHarness, api: ProviderApi
) -> None:
    connector = calling.connect(keyed("twilio"))
    room = calling.stores.rooms.ensure(connector.default_room_id or "", 1)
    calling.stores.rooms.deactivate(room.id, 2)
    with pytest.raises(Forbidden, match="This room is deactivated"):
        place(calling, connector)
    assert (api.placed, calling.calls.page().total) == ([], 0)


def test_the_only_connector_that_can_is_called_through(harness: ControlHarness) -> None:
    request = CallRequest(callee=NUMBER, caller="+14155550199")
    harness.connect(a_connector())
    with pytest.raises(Invalid, match="0 connectors can place calls"):
        harness.outbound.plan(request)
    able = harness.connect(keyed("telnyx"))
    assert harness.outbound.plan(request).connector.id == able.id
    with pytest.raises(Invalid, match="sipCallFrom is required"):
        harness.outbound.plan(CallRequest(callee=NUMBER))
    harness.connect(keyed("plivo"))
    with pytest.raises(Invalid, match="2 connectors can place calls"):
        harness.outbound.plan(request)


def test_a_call_needs_a_room(harness: ControlHarness) -> None:
    connector = harness.connect(keyed("twilio", default_room_id=None))
    with pytest.raises(Invalid, match="destinationRoomId is required"):
        place(harness, connector)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_that_we_end_is_ended_through_the_provider_too(
    calling: ControlHarness, api: ProviderApi, provider: str
) -> None:
    connector = calling.connect(keyed(provider))
    call = calling.answered(connector)
    calling.ending.end(call.id)
    calling.provider_api.stop()
    assert api.hung_up == [CALL_IDS[provider]]
    last = calling.calls.get(call.id).steps[-1]
    assert (last.event, last.status) == (LadderEvent.PROVIDER, CallStatus.ENDED)
    assert last.detail is not None
    assert last.detail.endswith("was told to hang up.")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ((404, {"code": 20404}), "Twilio had ended the call already."),
        ((500, {}), "Twilio did not hang up. Twilio answered 500."),
    ],
)
def test_a_provider_that_does_not_hang_up_fails_nothing(
    calling: ControlHarness, api: ProviderApi, trouble: tuple[int, object], said: str
) -> None:
    call = calling.answered(calling.connect(keyed("twilio")))
    api.trouble = trouble
    assert calling.ending.end(call.id).status is CallStatus.ENDED
    calling.provider_api.stop()
    assert calling.calls.get(call.id).steps[-1].detail == said


def test_a_call_that_the_provider_has_ended_is_not_ended_again(
    calling: ControlHarness, api: ProviderApi
) -> None:
    connector = calling.connect(keyed("twilio"))
    calling.answered(connector)
    calling.webhook(connector, CallStatus="completed")
    calling.provider_api.stop()
    assert api.hung_up == []


def test_a_deleted_connector_has_no_credentials_any_more(
    calling: ControlHarness, api: ProviderApi
) -> None:
    connector = calling.connect(keyed("twilio"))
    call = calling.answered(connector)
    calling.stores.connectors.delete(connector.id)
    calling.ending.end(call.id)
    calling.provider_api.stop()
    assert api.hung_up == []


def test_a_request_waits_until_its_call_is_answered_or_over(calling: ControlHarness) -> None:
    connector = calling.connect(keyed("twilio"))
    for ends in (False, True):
        call = place(calling, connector)

        def act(index: int, call: Call = call, ends: bool = ends) -> object:
            if index == 0:
                return calling.outbound.wait(call, 30)
            if ends:
                return calling.ending.end(call.id)
            hook = Webhook((("CallSid", "CA7"), ("CallStatus", UP)), marked(call.id))
            markup = calling.inbound.answer(connector, hook, BASE)
            spec = calling.admission.claim("twilio", ref_of(fromstring(markup.text)))
            return calling.recorder.record(
                LegStarted(call.id, spec.leg_id, "s1", calling.clock.now())
            )

        waited = at_once(2, act)[0]
        assert isinstance(waited, Call)
        assert waited.status is (CallStatus.ENDED if ends else CallStatus.ANSWERED)


def test_only_a_few_requests_wait_at_a_time(calling: ControlHarness) -> None:
    call = place(calling, calling.connect(keyed("twilio")))
    waiters = calling.waiters
    with waiters.seat("a"), waiters.seat("b"), waiters.seat("c"), waiters.seat("d"):
        assert calling.outbound.wait(call, 30) is None
    calling.ending.end(call.id)
    assert calling.outbound.wait(call, 30) is not None


def test_nobody_waits_longer_than_the_call_may_ring(calling: ControlHarness) -> None:
    call = place(calling, calling.connect(keyed("twilio")))
    waited = calling.outbound.wait(call, -15)
    assert waited is not None
    assert waited.status is CallStatus.INITIATED


def test_a_placed_call_lasts_as_long_as_it_was_told_to(calling: ControlHarness) -> None:
    connector = calling.connect(keyed("twilio"))
    call = place(calling, connector, max_seconds=20)
    hook = Webhook((("CallSid", "CA7"), ("CallStatus", UP)), marked(call.id))
    calling.start(ref_of(fromstring(calling.inbound.answer(connector, hook, BASE).text)))
    calling.clock.advance(19.9)
    calling.deadlines.sweep()
    assert calling.calls.get(call.id).status is CallStatus.ANSWERED
    calling.clock.advance(0.1)
    calling.deadlines.sweep()
    assert calling.calls.get(call.id).end_reason is EndReason.MAX_DURATION
