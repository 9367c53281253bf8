"""Calls moved, transferred and placed: by what storage says, in any order, and at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import pytest

from service.calls.callbacks import Callbacks
from service.calls.outbound import CallRequest, OutboundCalls
from service.domain.agents import Assignment
from service.domain.calls import Call, CallStatus, Direction, EndReason, LadderEvent
from service.domain.connectors import Connector
from service.domain.rooms import Room
from service.domain.routing_rules import RoomPrefix, RoomType, Rule, RuleRoom, RuleType
from service.errors import BadGateway, Busy, Conflict, Forbidden, Invalid, NotFound
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted
from service.providers import load
from service.providers.base.provider import Webhook
from service.storage.connectors import Connectors
from service.storage.database import Database
from tests.support.clients import Client
from tests.support.clocks import FakeClock
from tests.support.provider_apis import CREDENTIALS, ProviderApi, provider_api
from tests.support.races import at_once
from tests.support.records import a_connector, a_rule
from tests.support.switchboards import BASE, CALL_IDS, Desk, kept, masked, ref_of, verbs

PROVIDERS = ("twilio", "plivo", "telnyx")
NUMBER = "+442071838750"
UP = "in-progress"


class Office(Desk):
    """A desk with call control and callbacks behind it."""

    def __init__(self, database: Database, clock: FakeClock, **settings: object) -> None:
        super().__init__(database, clock, **settings)
        self.control = OutboundCalls(self.switchboard)
        self.callbacks = Callbacks(self.switchboard, self.reception, load())

    def answered(self, connector: Connector, **fields: str) -> Call:
        leg = self.start(ref_of(self.notify_after_commit(connector, **fields)), connector.provider)
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
        self.switchboard.record(LegClosed(call.id, call.leg_id, reason, "gone", {}, at))

    def moved(self, call: Call, room_id: str, session_id: str = "s2") -> None:
        self.switchboard.record(
            LegMoved(
                call.id, call.leg_id, room_id, call.participant.id, session_id, self.clock.now()
            )
        )


def offices(database: Database, clock: FakeClock, **settings: object) -> Iterator[Office]:
    office = Office(database, clock, **settings)
    try:
        yield office
    finally:
        office.engine.stop()
        office.switchboard.errands.stop()


@pytest.fixture
def office(sqlite_database: Database, clock: FakeClock) -> Iterator[Office]:
    yield from offices(sqlite_database, clock)


@pytest.fixture
def each_office(database: Database, clock: FakeClock) -> Iterator[Office]:
    yield from offices(database, clock)


@pytest.fixture
def api() -> Iterator[ProviderApi]:
    with provider_api() as api:
        yield api


@pytest.fixture
def agency(sqlite_database: Database, clock: FakeClock, api: ProviderApi) -> Iterator[Office]:
    """An office whose providers' REST APIs are on loopback."""
    urls = {f"{name}_api_url": api.url for name in PROVIDERS}
    yield from offices(sqlite_database, clock, max_calls=3, max_call_seconds=600, **urls)


def marked(call_id: str) -> str:
    """An address of ours that says which placed call it is about."""
    return f"{BASE}/hook?placed={call_id}"


def statuses(call: Call, event: LadderEvent) -> list[str]:
    return [step.status.value for step in call.steps if step.event is event]


def keyed(provider: str, **changes: object) -> Connector:
    credentials = {name: (value,) for name, value in CREDENTIALS[provider].items()}
    return a_connector(provider=provider, credentials=credentials, **changes)


def test_a_move_is_written_before_it_happens_and_completed_when_it_has(each_office: Office) -> None:
    office = each_office
    call = office.answered(office.connect(a_connector()))
    moving = office.control.move(call, "room-2", None)
    assert (moving.room_id, moving.session_id, moving.status) == ("room-2", None, "answered")
    assert moving == office.calls.get(call.id)
    office.moved(call, "room-2")
    done = office.calls.get(call.id)
    assert (done.session_id, done.participant) == ("s2", call.participant)
    assert statuses(done, LadderEvent.MOVED) == ["switch-room-initiated", "switch-room-completed"]
    office.moved(call, "room-2", "s3")
    assert office.calls.get(call.id) == done


def test_a_move_may_give_the_call_another_participant_id(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    moving = office.control.move(call, "room-2", "zoe")
    assert moving.participant.id == "zoe"
    assert moving.participant.name == call.participant.name


def test_a_move_to_where_the_call_is_changes_nothing(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    assert office.control.move(call, call.room_id or "", call.participant.id) == call


def test_an_arrival_in_a_room_that_the_call_has_left_is_none(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    office.control.move(call, "room-2", None)
    office.control.move(call, "room-3", None)
    office.moved(call, "room-2")
    assert office.calls.get(call.id).session_id is None
    office.moved(call, "room-3", "s3")
    after = office.calls.get(call.id)
    assert (after.session_id, after.is_moving) == ("s3", False)


def test_a_call_without_a_socket_comes_back_in_the_new_room(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    office.lost(call)
    office.control.move(call, "room-2", None)
    spec = office.switchboard.claim(
        "twilio", ref_of(office.notify_after_commit(connector, CallStatus=UP))
    )
    assert (spec.room_id, spec.session_id) == ("room-2", None)
    office.switchboard.record(LegStarted(call.id, spec.leg_id, "s2", office.clock.now()))
    office.switchboard.record(
        LegMoved(call.id, spec.leg_id, "room-2", call.participant.id, "s2", office.clock.now())
    )
    assert statuses(office.calls.get(call.id), LadderEvent.MOVED)[-1] == "switch-room-completed"


def test_a_socket_that_was_let_in_before_the_move_arrives_all_the_same(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    office.lost(call)
    ref = ref_of(office.notify_after_commit(connector, CallStatus=UP))
    spec = office.switchboard.claim("twilio", ref)
    office.control.move(call, "room-2", None)
    start = {
        "streamSid": "MZ1",
        "callSid": CALL_IDS["twilio"],
        "customParameters": {"ref": ref},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    with Client() as client:
        office.engine.adopt(client.ours, spec)
        client.send(json.dumps({"event": "start", "start": start}).encode())
        started = office.engine.reports.get(timeout=20)
        assert isinstance(started, LegStarted)
        office.switchboard.record(started)
        assert office.calls.get(call.id).is_moving
        moved = office.engine.reports.get(timeout=20)
        assert isinstance(moved, LegMoved)
        office.switchboard.record(moved)
        client.send_close(1000)
        assert isinstance(office.engine.reports.get(timeout=20), LegClosed)
    done = office.calls.get(call.id)
    assert not done.is_moving
    assert (done.room_id, done.session_id) == ("room-2", moved.session_id)


def stays(office: Office, session_id: str) -> list[tuple[str, int, int | None]]:
    """Who was in a session, from when to when."""
    return [
        (stay.participant_id, stay.joined_at, stay.left_at)
        for stay in office.switchboard.sessions.stays(session_id)
    ]


def test_a_move_takes_the_caller_from_one_session_into_the_other(each_office: Office) -> None:
    office, clock = each_office, each_office.clock
    call = office.answered(office.connect(a_connector()))
    who, began = call.participant.id, clock.now()
    clock.advance(5)
    office.control.move(call, "room-2", None)
    assert stays(office, "s1") == [(who, began, None)]
    clock.advance(1)
    office.moved(call, "room-2")
    moved = clock.now()
    assert stays(office, "s1") == [(who, began, moved)]
    assert stays(office, "s2") == [(who, moved, None)]
    sessions = office.switchboard.sessions
    assert sessions.get("s1").ended_at == moved
    assert (sessions.get("s2").room_id, sessions.get("s2").ended_at) == ("room-2", None)
    clock.advance(1)
    office.switchboard.end(call.id)
    assert stays(office, "s2") == [(who, moved, clock.now())]
    assert sessions.get("s2").ended_at == clock.now()


def test_those_who_stay_go_on_with_their_session(each_office: Office) -> None:
    office = each_office
    call = office.answered(office.connect(a_connector()))
    other = office.answered(office.connect(a_connector(provider="plivo")))
    office.control.move(call, "room-2", None)
    office.moved(call, "room-2")
    assert office.switchboard.sessions.get("s1").ended_at is None
    assert office.switchboard.sessions.present("s1") == [other.id]


def test_a_caller_without_a_socket_is_in_no_session_until_it_arrives(each_office: Office) -> None:
    office, clock = each_office, each_office.clock
    connector = office.connect(a_connector())
    call = office.answered(connector)
    began = clock.now()
    office.lost(call)
    clock.advance(2)
    office.control.move(call, "room-2", None)
    assert stays(office, "s1") == [(call.participant.id, began, clock.now())]
    spec = office.switchboard.claim(
        "twilio", ref_of(office.notify_after_commit(connector, CallStatus=UP))
    )
    clock.advance(1)
    # Where it was let in before the move, the session in which it starts is the old one.
    office.switchboard.record(LegStarted(call.id, spec.leg_id, "s1", clock.now()))
    assert office.switchboard.sessions.present("s1") == []
    office.moved(office.calls.get(call.id), "room-2")
    assert stays(office, "s2") == [(call.participant.id, clock.now(), None)]


def test_a_socket_that_is_lost_on_the_way_leaves_the_old_session(each_office: Office) -> None:
    office = each_office
    call = office.answered(office.connect(a_connector()))
    office.control.move(call, "room-2", None)
    office.lost(call)
    assert office.switchboard.sessions.present("s1") == []
    assert office.switchboard.sessions.get("s1").ended_at == office.clock.now()


def test_another_participant_id_in_the_same_room_is_a_stay_of_its_own(each_office: Office) -> None:
    office = each_office
    call = office.answered(office.connect(a_connector()))
    room_id = call.room_id or ""
    began = office.clock.now()
    office.clock.advance(3)
    office.control.move(call, room_id, "zoe")
    office.moved(office.calls.get(call.id), room_id, "s1")
    at = office.clock.now()
    assert stays(office, "s1") == [(call.participant.id, began, at), ("zoe", at, None)]
    assert office.switchboard.sessions.get("s1").ended_at is None


def test_a_room_that_bars_the_participant_is_not_moved_into(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    rooms = office.switchboard.rooms
    rooms.deactivate(rooms.ensure("room-2", 1).id, 2)
    with pytest.raises(Forbidden, match="This room is deactivated: nobody can join it"):
        office.control.move(call, "room-2", None)
    rooms.create(
        Room("room-3", "object-3", 1, 1, custom_id="lounge", allowed_participant_ids=("zoe",))
    )
    with pytest.raises(Forbidden, match="does not allow a participant of this id"):
        office.control.move(call, "lounge", None)
    assert office.calls.get(call.id) == call
    assert office.control.move(call, "lounge", "zoe").room_id == "room-3"


def test_a_room_that_is_deactivated_on_the_way_puts_the_caller_out(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    office.control.move(call, "room-2", None)
    office.switchboard.rooms.deactivate("room-2", office.clock.now())
    office.moved(call, "room-2")
    assert office.calls.get(call.id).end_reason is EndReason.ROOM_DEACTIVATED


def test_a_call_that_ends_on_its_way_has_not_arrived(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    office.control.move(call, "room-2", None)
    ended = office.switchboard.end(call.id)
    assert statuses(ended, LadderEvent.MOVED) == ["switch-room-initiated", "switch-room-failed"]
    assert ended.steps[-1].event is LadderEvent.END
    office.moved(call, "room-2")
    assert office.calls.get(call.id) == ended


def test_only_a_call_that_is_answered_can_be_steered(office: Office) -> None:
    connector = office.connect(a_connector())
    office.notify_after_commit(connector)
    call = office.call(connector)
    for steer in (
        lambda: office.control.move(call, "room-2", None),
        lambda: office.control.transfer(call, NUMBER),
    ):
        with pytest.raises(Conflict, match="not been answered yet: it is incoming"):
            steer()
    ended = office.switchboard.end(call.id)
    for known in (ended, replace(ended, status=CallStatus.ANSWERED)):
        with pytest.raises(Conflict, match="The call is over: it is ended"):
            office.control.move(known, "room-2", None)
    assert office.switchboard.rooms.find("room-3") is None


def test_ending_and_moving_at_the_same_moment_leaves_an_ended_call(each_office: Office) -> None:
    office = each_office
    for turn in range(5):
        connector = office.connect(a_connector())
        call = office.answered(connector)

        def steer(index: int, call: Call = call) -> object:
            if index == 0:
                return office.switchboard.end(call.id)
            return office.control.move(call, f"room-{index}", None)

        outcomes = at_once(4, steer)
        assert all(isinstance(each, Call | Conflict) for each in outcomes), turn
        ended = office.calls.get(call.id)
        assert ended.status is CallStatus.ENDED
        assert ended.steps[-1].event is LadderEvent.END
        assert not ended.is_moving


def test_a_transfer_and_a_hang_up_at_the_same_moment_leave_an_ended_call(
    each_office: Office,
) -> None:
    office = each_office
    connector = office.connect(a_connector())
    call = office.answered(connector)
    work = [
        lambda: office.control.transfer(call, NUMBER),
        lambda: office.notify_after_commit(connector, CallStatus="completed"),
        lambda: office.lost(call),
        lambda: office.notify_after_commit(connector, CallStatus=UP),
    ]
    at_once(len(work), lambda index: work[index]())
    ended = office.calls.get(call.id)
    assert ended.status is CallStatus.ENDED
    assert not ended.is_transferring
    assert verbs(office.notify_after_commit(connector, CallStatus=UP)) == ["Hangup"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_transfer_is_told_to_the_provider_when_it_asks_again(
    office: Office, provider: str
) -> None:
    connector = office.connect(a_connector(provider=provider))
    call = office.answered(connector)
    office.control.transfer(call, NUMBER)
    office.lost(call)
    response = office.notify_after_commit(connector, CallStatus=UP)
    assert verbs(response) == ["Dial"]
    assert response[0].get("action") == f"{office.address(call)}/dial"
    plain = str if provider != "plivo" else lambda number: number.removeprefix("+")
    assert response[0].findtext("Number") == plain(NUMBER)
    assert response[0].get("callerId") == plain("+14155550199")
    again = office.notify_after_commit(connector, CallStatus=UP)
    assert verbs(again) == ["Dial"]
    transferring = office.call(connector)
    assert statuses(transferring, LadderEvent.TRANSFER) == ["transfer-initiated", "transferring"]
    assert kept(transferring)[-1] == masked(response, connector)


@pytest.mark.parametrize("called", ["4155550199", "+14155550199x5", "sip:desk@example.com"])
def test_a_transfer_shows_a_number_of_ours_or_none(office: Office, called: str) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector, To=called)
    office.control.transfer(call, NUMBER)
    office.lost(call)
    assert office.notify_after_commit(connector, CallStatus=UP)[0].get("callerId") is None


@pytest.mark.parametrize("reason", [None, EndReason.CALLER_HUNG_UP], ids=["lost", "stop"])
def test_no_deadline_and_no_stop_message_ends_a_call_that_is_dialled_on(
    office: Office, reason: EndReason | None
) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    office.control.transfer(call, NUMBER)
    office.lost(call, reason)
    office.notify_after_commit(connector, CallStatus=UP)
    office.clock.advance(600)
    office.switchboard.sweep()
    assert office.call(connector).status is CallStatus.ANSWERED
    office.dialled(connector, "completed")
    after = office.call(connector)
    assert (after.status, after.end_reason) == (CallStatus.ENDED, EndReason.TRANSFERRED)
    assert after.transfer.status is CallStatus.TRANSFERRED


@pytest.mark.parametrize("ends", ["dial", "hang-up"])
def test_a_caller_who_was_handed_on_was_in_the_session_until_then(
    each_office: Office, ends: str
) -> None:
    office = each_office
    connector = office.connect(a_connector())
    call = office.answered(connector)
    began = office.clock.now()
    office.clock.advance(10)
    office.control.transfer(call, NUMBER)
    office.lost(call)
    office.notify_after_commit(connector, CallStatus=UP)
    handed_on = office.clock.now()
    office.clock.advance(600)
    assert office.switchboard.sessions.present("s1") == [call.id]
    if ends == "dial":
        office.dialled(connector, "completed")
    else:
        office.notify_after_commit(connector, CallStatus="completed")
    assert stays(office, "s1") == [(call.participant.id, began, handed_on)]
    assert office.switchboard.sessions.get("s1").ended_at == handed_on


def test_a_provider_that_never_asks_ends_the_transfer_with_the_call(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    office.control.transfer(call, NUMBER)
    office.lost(call)
    office.clock.advance(15)
    office.switchboard.sweep()
    after = office.call(connector)
    assert after.end_reason is EndReason.CONNECTION_LOST
    assert after.transfer.status is CallStatus.TRANSFER_FAILED


def test_a_provider_that_keeps_asking_is_not_told_to_dial_for_ever(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    office.control.transfer(call, NUMBER)
    answers = [verbs(office.notify_after_commit(connector, CallStatus=UP)) for _ in range(6)]
    assert answers == [["Dial"]] * 5 + [["Hangup"]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_failed_transfer_streams_again_and_a_second_callback_changes_nothing(
    office: Office, provider: str
) -> None:
    connector = office.connect(a_connector(provider=provider))
    call = office.answered(connector)
    office.control.transfer(call, NUMBER)
    office.lost(call)
    office.notify_after_commit(connector, CallStatus=UP)
    for _ in range(2):
        ref = ref_of(office.dialled(connector, "busy"))
    failed = office.call(connector)
    assert statuses(failed, LadderEvent.TRANSFER)[2:] == ["transfer-failed"]
    assert failed.detached_at == office.clock.now()
    spec = office.switchboard.claim(provider, ref)
    assert (spec.room_id, spec.participant) == (call.room_id, call.participant)
    again = office.control.transfer(office.call(connector), NUMBER)
    assert again.is_transferring


def test_a_caller_who_is_gone_when_the_dial_ends_has_hung_up(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    office.control.transfer(call, NUMBER)
    office.notify_after_commit(connector, CallStatus=UP)
    assert verbs(office.dialled(connector, "no-answer", CallStatus="completed")) == []
    after = office.call(connector)
    assert after.end_reason is EndReason.CALLER_HUNG_UP
    assert verbs(office.dialled(connector, "completed")) == ["Hangup"]


def test_a_dial_of_an_unknown_call_is_hung_up(office: Office) -> None:
    connector = office.connect(a_connector())
    assert verbs(office.dialled(connector, "completed")) == ["Hangup"]


def test_a_call_that_is_being_transferred_is_left_alone(office: Office) -> None:
    call = office.answered(office.connect(a_connector()))
    office.control.transfer(call, NUMBER)
    for steer in (
        lambda: office.control.move(call, "room-2", None),
        lambda: office.control.transfer(call, NUMBER),
    ):
        with pytest.raises(Conflict, match="being transferred"):
            steer()


def test_without_reattach_there_is_no_transfer(sqlite_database: Database, clock: FakeClock) -> None:
    for office in offices(sqlite_database, clock, reattach=False):
        call = office.answered(office.connect(a_connector()))
        with pytest.raises(Conflict, match="REATTACH is off"):
            office.control.transfer(call, NUMBER)
        assert office.calls.get(call.id) == call


def test_a_transfer_lasts_no_longer_than_the_call_may(
    sqlite_database: Database, clock: FakeClock
) -> None:
    for office in offices(sqlite_database, clock, max_call_seconds=100):
        connector = office.connect(a_connector())
        call = office.answered(connector)
        office.control.transfer(call, NUMBER)
        clock.advance(30)
        assert office.notify_after_commit(connector, CallStatus=UP)[0].get("timeLimit") == "70"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_status_callback_ends_the_call_whose_socket_never_told(
    office: Office, provider: str
) -> None:
    connector = office.connect(a_connector(provider=provider))
    office.answered(connector)
    office.callbacks.status(connector, office.hook(connector, CallStatus=UP))
    assert office.call(connector).status is CallStatus.ANSWERED
    for status in ("completed", "completed", "ringing", UP):
        office.callbacks.status(connector, office.hook(connector, CallStatus=status))
    after = office.call(connector)
    assert (after.status, after.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert [step.event for step in after.steps].count(LadderEvent.END) == 1


def test_what_goes_wrong_is_on_the_ladder_once_and_also_after_the_end(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    error = {"StreamEvent": "stream-error", "StreamError": "31924 protocol"}
    for _ in range(3):
        office.callbacks.status(connector, office.hook(connector, **error))
    office.switchboard.end(call.id)
    for number in range(40):
        words = {"StreamEvent": "stream-error", "StreamError": f"odd {number}"}
        office.callbacks.status(connector, office.hook(connector, **words))
    notes = [step for step in office.call(connector).steps if step.event is LadderEvent.PROVIDER]
    assert notes[0].detail.startswith("Twilio error 31924: a WebSocket frame")
    assert (notes[0].status, notes[1].status) == (CallStatus.ANSWERED, CallStatus.ENDED)
    assert len(notes) == 20


def test_a_callback_of_an_unknown_call_is_nobodys(office: Office) -> None:
    connector = office.connect(a_connector())
    office.callbacks.status(connector, office.hook(connector, CallStatus="completed"))
    assert office.call(connector) is None


def place(office: Office, connector: Connector, **wishes: object) -> Call:
    wish = CallRequest(callee=NUMBER, caller="+14155550199", connector_id=connector.id, **wishes)
    return office.control.place(wish, office.control.plan(wish), BASE)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_placed_call_is_dialled_with_addresses_of_its_own(
    agency: Office, api: ProviderApi, provider: str
) -> None:
    connector = agency.connect(keyed(provider))
    call = place(agency, connector, ring_seconds=25, max_seconds=60, metadata={"a": 1})
    [fields] = api.placed
    given = {name.lower(): value for name, value in fields.items()}
    hook = agency.address(call)
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
    agency: Office,
) -> None:
    connector = agency.connect(keyed("twilio"))
    call = place(agency, connector)
    params = (("CallSid", "CA-real"), ("CallStatus", UP), ("Direction", "outbound-api"))
    hook = Webhook(params, marked(call.id))
    response = fromstring(agency.reception.answer(connector, hook, BASE).text)
    assert agency.calls.get(call.id).provider_call_id == "CA-real"
    agency.start(ref_of(response))
    assert agency.calls.get(call.id).status is CallStatus.ANSWERED
    assert agency.calls.page().total == 1


def test_a_placed_call_is_found_only_by_its_own_connector(agency: Office) -> None:
    call = place(agency, agency.connect(keyed("twilio")))
    other = agency.connect(a_connector(default_room_id=None))
    params = (("CallSid", "CA-thief"), ("CallStatus", "ringing"))
    for placed in (call.id, "no-such-call", ""):
        hook = Webhook(params, marked(placed))
        agency.reception.answer(other, hook, BASE)
    assert agency.calls.get(call.id) == call


def test_an_inbound_call_cannot_be_taken_for_a_placed_one(office: Office) -> None:
    connector = office.connect(a_connector())
    call = office.answered(connector)
    hook = Webhook((("CallSid", "CA-other"), ("CallStatus", "ringing")), marked(call.id))
    office.reception.answer(connector, hook, BASE)
    assert office.calls.get(call.id) == call
    assert office.calls.page().total == 2


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
    agency: Office, status: str, becomes: CallStatus, reason: EndReason
) -> None:
    connector = agency.connect(keyed("twilio"))
    call = place(agency, connector)
    for said in ("ringing", "ringing", status, "ringing"):
        params = (("CallSid", "made-up-1"), ("CallStatus", said))
        agency.callbacks.status(connector, Webhook(params, marked(call.id)))
    after = agency.calls.get(call.id)
    assert (after.status, after.end_reason) == (becomes, reason)
    assert statuses(after, LadderEvent.RINGING) == ["ringing"]


def test_a_placed_call_of_which_nothing_is_heard_is_missed_and_hung_up(
    agency: Office, api: ProviderApi
) -> None:
    call = place(agency, agency.connect(keyed("twilio")), ring_seconds=20)
    agency.clock.advance(34.9)
    agency.switchboard.sweep()
    assert agency.calls.get(call.id).status is CallStatus.INITIATED
    agency.clock.advance(0.1)
    agency.switchboard.sweep()
    agency.switchboard.errands.stop()
    after = agency.calls.get(call.id)
    assert (after.status, after.end_reason) == (CallStatus.MISSED, EndReason.RING_TIMEOUT)


def test_a_call_that_the_provider_does_not_place_has_failed(
    agency: Office, api: ProviderApi
) -> None:
    api.trouble = (400, {"code": 21211, "message": "Invalid 'To' Phone Number"})
    connector = agency.connect(keyed("twilio"))
    with pytest.raises(BadGateway, match="Twilio answered 400: 21211 Invalid 'To'"):
        place(agency, connector)
    [call] = agency.calls.page().items
    assert (call.status, call.end_reason) == (CallStatus.FAILED, EndReason.PROVIDER_FAILED)
    assert "21211" in (call.steps[-1].detail or "")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_whose_placing_was_answered_by_half_is_placed(
    agency: Office, api: ProviderApi, provider: str
) -> None:
    """Its id comes with what the provider asks and tells next."""
    api.cut = True
    connector = agency.connect(keyed(provider))
    call = place(agency, connector)
    assert (call.status, call.provider_call_id) == (CallStatus.INITIATED, call.id)
    name, said = ("CallUUID", "Event") if provider == "plivo" else ("CallSid", "CallbackSource")
    params = ((name, "made-up-1"), ("CallStatus", "ringing"), (said, "Ring"))
    agency.callbacks.status(connector, Webhook(params, marked(call.id)))
    after = agency.calls.get(call.id)
    assert (after.status, after.provider_call_id) == (CallStatus.RINGING, "made-up-1")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_that_was_ended_before_its_id_was_known_is_hung_up_when_it_rings(
    agency: Office, api: ProviderApi, provider: str
) -> None:
    api.cut = True
    connector = agency.connect(keyed(provider))
    call = place(agency, connector)
    agency.switchboard.end(call.id)
    name, said = ("CallUUID", "Event") if provider == "plivo" else ("CallSid", "CallbackSource")
    params = ((name, "made-up-1"), ("CallStatus", "ringing"), (said, "Ring"))
    for _ in range(2):
        agency.callbacks.status(connector, Webhook(params, marked(call.id)))
    agency.switchboard.errands.stop()
    assert api.hung_up == ["made-up-1"]
    assert agency.calls.get(call.id).end_reason is EndReason.ENDED_BY_API


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_hang_up_that_was_answered_by_half_is_one(
    agency: Office, api: ProviderApi, provider: str
) -> None:
    call = place(agency, agency.connect(keyed(provider)))
    api.cut = True
    agency.switchboard.end(call.id)
    agency.switchboard.errands.stop()
    assert api.hung_up == ["made-up-1"]
    [said] = [
        step.detail
        for step in agency.calls.get(call.id).steps
        if step.event is LadderEvent.PROVIDER
    ]
    assert said is not None
    assert said.endswith("was told to hang up.")


def test_wrong_credentials_are_refused_by_the_provider_and_never_shown(
    agency: Office, api: ProviderApi
) -> None:
    connector = keyed("twilio")
    wrong = {**connector.credentials, "authToken": ("hunter2",)}
    stored = agency.connect(a_connector(credentials=wrong))
    with pytest.raises(BadGateway, match="401") as caught:
        place(agency, stored)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(agency.calls.page().items)
    assert len(api.refused) == 1


def test_an_unreachable_provider_is_a_bad_gateway(
    sqlite_database: Database, clock: FakeClock
) -> None:
    for office in offices(sqlite_database, clock, twilio_api_url="http://127.0.0.1:1"):
        with pytest.raises(BadGateway, match="Twilio could not be asked: no answer"):
            place(office, office.connect(keyed("twilio")))


def test_placed_calls_count_towards_the_limit(agency: Office, api: ProviderApi) -> None:
    connector = agency.connect(keyed("twilio"))
    for _ in range(3):
        place(agency, connector)
    with pytest.raises(Busy):
        place(agency, connector, room_id="never-seen-0001")
    assert agency.switchboard.rooms.find("never-seen-0001") is None
    assert len(api.placed) == 3
    agency.switchboard.handover.begin()
    with pytest.raises(Busy, match="restarting"):
        place(agency, connector)


def test_a_connector_without_credentials_places_no_calls(office: Office) -> None:
    connector = office.connect(a_connector())
    with pytest.raises(Invalid, match="it lacks the credentials accountSid, authToken"):
        place(office, connector)
    half = office.connect(a_connector(provider="telnyx", credentials={"apiKey": ("k",)}))
    with pytest.raises(Invalid, match="it lacks the credentials accountSid, applicationId"):
        place(office, half)
    with pytest.raises(NotFound):
        office.control.plan(CallRequest(callee=NUMBER, connector_id="cn_none"))


OURS = "+14155550111"


def outbound(office: Office, **changes: object) -> Rule:
    rule = a_rule(**{"id": "rr_out", "type": RuleType.OUTBOUND, "numbers": (OURS,), **changes})
    office.switchboard.rules.add(rule)
    return rule


def test_an_outbound_rule_has_the_number_and_the_room(office: Office) -> None:
    connector = office.connect(keyed("twilio"))
    outbound(office)
    for wish in (
        CallRequest(callee=NUMBER, rule_id="rr_out"),
        CallRequest(callee=NUMBER, caller=OURS),
    ):
        plan = office.control.plan(wish)
        assert (plan.connector.id, plan.caller) == (connector.id, OURS)
        assert plan.rule is not None
        assert (plan.room_name, plan.rule.id) == ("rule-room-0001", "rr_out")
    there = office.control.plan(CallRequest(callee=NUMBER, rule_id="rr_out", room_id="r9"))
    assert there.room_name == "r9"
    assert there.rule is not None
    other = office.control.plan(CallRequest(callee=NUMBER, caller="+14155550112"))
    assert (other.rule, other.room_name) == (None, connector.default_room_id)


def test_of_two_outbound_rules_for_a_number_the_newest_decides(office: Office) -> None:
    office.connect(keyed("twilio"))
    outbound(office)
    outbound(office, id="rr_new", room=RuleRoom(RoomType.STATIC, None, "newer-room", None))
    assert office.control.plan(CallRequest(callee=NUMBER, caller=OURS)).room_name == "newer-room"


def test_only_an_outbound_rule_places_calls(office: Office) -> None:
    office.connect(keyed("twilio"))
    office.switchboard.rules.add(a_rule(id="rr_in"))
    with pytest.raises(Invalid, match="routingRuleId must name an outbound rule"):
        office.control.plan(CallRequest(callee=NUMBER, rule_id="rr_in"))
    with pytest.raises(NotFound):
        office.control.plan(CallRequest(callee=NUMBER, rule_id="rr_none"))


def test_the_connector_of_a_number_is_the_one_whose_rule_has_it(office: Office) -> None:
    office.switchboard.rules.add(a_rule(id="rr_in", numbers=(OURS, "+14155550112")))
    office.connect(keyed("plivo"))
    ours = office.connect(keyed("twilio", default_rule_id="rr_in"))
    plan = office.control.plan(CallRequest(callee=NUMBER, caller="+14155550112"))
    assert plan.connector.id == ours.id
    named = office.control.plan(CallRequest(callee=NUMBER, connector_id=ours.id))
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
    agency: Office, prefix: RoomPrefix, name: str
) -> None:
    connector = agency.connect(keyed("twilio"))
    outbound(agency, room=RuleRoom(RoomType.DYNAMIC, prefix, None, None))
    wish = CallRequest(callee=NUMBER, caller=OURS, connector_id=connector.id)
    plan = agency.control.plan(wish)
    assert plan.room_name == name
    call = agency.control.place(wish, plan, BASE)
    assert agency.switchboard.rooms.get(call.room_id or "").custom_id == (name or None)


def test_a_rule_says_what_the_room_learns_of_a_placed_call(agency: Office) -> None:
    connector = agency.connect(keyed("twilio"))
    outbound(agency, hide_phone_number=True, dtmf=False)
    for wishes, expected in (
        ({}, (True, False, "***50")),
        ({"hides_number": False, "dtmf": True}, (False, True, NUMBER)),
        ({"participant_name": "Zoe"}, (True, False, "Zoe")),
    ):
        wish = CallRequest(callee=NUMBER, caller=OURS, connector_id=connector.id, **wishes)
        call = agency.control.place(wish, agency.control.plan(wish), BASE)
        assert (call.hides_number, call.dtmf, call.participant.name) == expected
        assert (call.remote, call.rule_id) == (NUMBER, "rr_out")


def test_the_agent_of_an_outbound_rule_is_the_placed_calls(agency: Office) -> None:
    connector = agency.connect(keyed("twilio"))
    outbound(agency, extra={"agent_id": "agent_1"})
    wish = CallRequest(callee=NUMBER, caller=OURS, connector_id=connector.id)
    call = agency.control.place(wish, agency.control.plan(wish), BASE)
    assert agency.calls.get(call.id).agent == Assignment("agent_1", BASE)


def test_a_placed_call_has_the_region_of_whom_it_calls(agency: Office) -> None:
    connector = agency.connect(keyed("twilio"))
    there = CallRequest(callee="+919876543210", caller=OURS, connector_id=connector.id)
    assert agency.control.place(there, agency.control.plan(there), BASE).region == "in002"
    assert place(agency, connector).region == "us002"
    assert place(agency, agency.connect(keyed("plivo", region="eu1"))).region == "eu1"


def test_a_connector_that_cannot_be_read_places_no_calls(office: Office) -> None:
    connector = keyed("twilio")
    elsewhere = Connectors(office.switchboard._database, "another secret")
    elsewhere.add(connector)
    with pytest.raises(Conflict, match="cannot be read with this API_SECRET; set them again"):
        place(office, connector)
    with pytest.raises(Invalid, match="0 connectors can place calls"):
        office.control.plan(CallRequest(callee=NUMBER, caller=OURS))


def test_a_room_that_bars_the_participant_is_not_called_into(
    agency: Office, api: ProviderApi
) -> None:
    connector = agency.connect(keyed("twilio"))
    room = agency.switchboard.rooms.ensure(connector.default_room_id or "", 1)
    agency.switchboard.rooms.deactivate(room.id, 2)
    with pytest.raises(Forbidden, match="This room is deactivated"):
        place(agency, connector)
    assert (api.placed, agency.calls.page().total) == ([], 0)


def test_the_only_connector_that_can_is_called_through(office: Office) -> None:
    wish = CallRequest(callee=NUMBER, caller="+14155550199")
    office.connect(a_connector())
    with pytest.raises(Invalid, match="0 connectors can place calls"):
        office.control.plan(wish)
    able = office.connect(keyed("telnyx"))
    assert office.control.plan(wish).connector.id == able.id
    with pytest.raises(Invalid, match="sipCallFrom is required"):
        office.control.plan(CallRequest(callee=NUMBER))
    office.connect(keyed("plivo"))
    with pytest.raises(Invalid, match="2 connectors can place calls"):
        office.control.plan(wish)


def test_a_call_needs_a_room(office: Office) -> None:
    connector = office.connect(keyed("twilio", default_room_id=None))
    with pytest.raises(Invalid, match="destinationRoomId is required"):
        place(office, connector)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_call_that_we_end_is_ended_through_the_provider_too(
    agency: Office, api: ProviderApi, provider: str
) -> None:
    connector = agency.connect(keyed(provider))
    call = agency.answered(connector)
    agency.switchboard.end(call.id)
    agency.switchboard.errands.stop()
    assert api.hung_up == [CALL_IDS[provider]]
    last = agency.calls.get(call.id).steps[-1]
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
    agency: Office, api: ProviderApi, trouble: tuple[int, object], said: str
) -> None:
    call = agency.answered(agency.connect(keyed("twilio")))
    api.trouble = trouble
    assert agency.switchboard.end(call.id).status is CallStatus.ENDED
    agency.switchboard.errands.stop()
    assert agency.calls.get(call.id).steps[-1].detail == said


def test_a_call_that_the_provider_has_ended_is_not_ended_again(
    agency: Office, api: ProviderApi
) -> None:
    connector = agency.connect(keyed("twilio"))
    agency.answered(connector)
    agency.notify_after_commit(connector, CallStatus="completed")
    agency.switchboard.errands.stop()
    assert api.hung_up == []


def test_a_deleted_connector_has_no_credentials_any_more(agency: Office, api: ProviderApi) -> None:
    connector = agency.connect(keyed("twilio"))
    call = agency.answered(connector)
    agency.switchboard.connectors.delete(connector.id)
    agency.switchboard.end(call.id)
    agency.switchboard.errands.stop()
    assert api.hung_up == []


def test_a_request_waits_until_its_call_is_answered_or_over(agency: Office) -> None:
    connector = agency.connect(keyed("twilio"))
    for ends in (False, True):
        call = place(agency, connector)

        def act(index: int, call: Call = call, ends: bool = ends) -> object:
            if index == 0:
                return agency.control.wait(call, 30)
            if ends:
                return agency.switchboard.end(call.id)
            hook = Webhook((("CallSid", "CA7"), ("CallStatus", UP)), marked(call.id))
            markup = agency.reception.answer(connector, hook, BASE)
            spec = agency.switchboard.claim("twilio", ref_of(fromstring(markup.text)))
            return agency.switchboard.record(
                LegStarted(call.id, spec.leg_id, "s1", agency.clock.now())
            )

        waited = at_once(2, act)[0]
        assert isinstance(waited, Call)
        assert waited.status is (CallStatus.ENDED if ends else CallStatus.ANSWERED)


def test_only_a_few_requests_wait_at_a_time(agency: Office) -> None:
    call = place(agency, agency.connect(keyed("twilio")))
    waiters = agency.switchboard.waiters
    with waiters.seat("a"), waiters.seat("b"), waiters.seat("c"), waiters.seat("d"):
        assert agency.control.wait(call, 30) is None
    agency.switchboard.end(call.id)
    assert agency.control.wait(call, 30) is not None


def test_nobody_waits_longer_than_the_call_may_ring(agency: Office) -> None:
    call = place(agency, agency.connect(keyed("twilio")))
    waited = agency.control.wait(call, -15)
    assert waited is not None
    assert waited.status is CallStatus.INITIATED


def test_a_placed_call_lasts_as_long_as_it_was_told_to(agency: Office) -> None:
    connector = agency.connect(keyed("twilio"))
    call = place(agency, connector, max_seconds=20)
    hook = Webhook((("CallSid", "CA7"), ("CallStatus", UP)), marked(call.id))
    agency.start(ref_of(fromstring(agency.reception.answer(connector, hook, BASE).text)))
    agency.clock.advance(19.9)
    agency.switchboard.sweep()
    assert agency.calls.get(call.id).status is CallStatus.ANSWERED
    agency.clock.advance(0.1)
    agency.switchboard.sweep()
    assert agency.calls.get(call.id).end_reason is EndReason.MAX_DURATION
