"""Rows of earlier versions after the migrations, on both kinds of database."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from service.domain.calls import CallStatus, Direction, LadderEvent
from service.storage import migrations
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.routing_rules import Rules

CALL = """
INSERT INTO calls (id, provider, provider_call_id, caller, callee, status, participant_id,
    participant_name, participant_metadata, started_at, attempts)
VALUES ('c1', 'twilio', 'CA1', '+14155550100', '+14155550199', 'answered', 'p1', 'Ann', '{}', 1, 0)
"""


CALL_OF_A_RULE = CALL.replace("attempts)", "attempts, pin_tries, hides_number, dtmf)").replace(
    "1, 0)", "1, 0, 0, false, true)"
)


def earlier(url: str, revision: str, *rows: str) -> Database:
    """Return a database with rows of an earlier revision, migrated."""
    database = Database(url)
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER).replace("%", "%%"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for row in rows:
            connection.execute(text(row))
    database.migrate()
    return database


def test_a_call_from_before_rules_hides_nothing_and_passes_digits(
    empty_url: str,
) -> None:
    database = earlier(empty_url, "0003", CALL)
    call = Calls(database).get("c1")
    assert (call.pin_tries, call.hides_number, call.dtmf) == (0, False, True)
    database.close()


def test_a_call_from_before_outbound_calls_is_inbound_and_can_be_steered(empty_url: str) -> None:
    database = earlier(empty_url, "0004", CALL_OF_A_RULE)
    call = Calls(database).get("c1")
    assert (call.direction, call.metadata, call.max_seconds) == (Direction.INBOUND, {}, None)
    assert (call.transfer, call.is_moving) == (None, False)
    assert Calls(database).page(direction=Direction.INBOUND).items == (call,)
    moved = StoredSteering(database).move("c1", "room-2", call.participant, 2)
    assert (moved.room_id, moved.is_moving) == ("room-2", True)
    database.close()


def test_a_step_from_before_markup_was_kept_has_none(empty_url: str) -> None:
    step = "INSERT INTO steps (call_id, event, at, status) VALUES ('c1', 'markup', 1, 'incoming')"
    database = earlier(empty_url, "0008", CALL_OF_A_RULE, step)
    (kept,) = Calls(database).get("c1").steps
    assert (kept.event, kept.markup) == (LadderEvent.MARKUP, None)
    database.close()


def test_earlier_calls_are_found_by_the_statuses_they_passed(empty_url: str) -> None:
    step = "INSERT INTO steps (call_id, event, at, status) VALUES ('{}', 'transfer', 1, '{}')"
    calls = [CALL_OF_A_RULE, *(CALL_OF_A_RULE.replace("1'", f"{n}'") for n in (2, 3))]
    said = [
        ("c1", "transfer-initiated"),
        ("c1", "transfer-failed"),
        ("c1", "transfer-failed"),
        ("c2", "transferred"),
        ("c2", "answered"),
        ("c3", "answered"),
    ]
    database = earlier(empty_url, "0016", *calls, *(step.format(*each) for each in said))
    store = Calls(database)
    found = {
        status: {call.id for call in store.page(status=status).items}
        for status in CallStatus
        if not (status.is_live or status.is_end)
    }
    assert {status: ids for status, ids in found.items() if ids} == {
        CallStatus.TRANSFER_INITIATED: {"c1"},
        CallStatus.TRANSFER_FAILED: {"c1"},
        CallStatus.TRANSFERRED: {"c2"},
    }
    database.close()


RULE = """
INSERT INTO routing_rules (id, name, type, room_type, room_id, pin, hide_phone_number, dtmf,
    allowed_numbers, extra, created_at, updated_at)
VALUES ('{id}', 'R', '{kind}', 'static', 'r1', {pin}, false, true, '{allowed}', '{{}}', 1, 1)
"""
NUMBER = "INSERT INTO rule_numbers (rule_id, number, type) VALUES ('{id}', '{number}', '{kind}')"


def rules_of_before(*owned: tuple[str, str, str, str]) -> list[str]:
    """Return rows of rules: id, number as written, PIN or none, and type."""
    rows = {
        rule_id: RULE.format(
            id=rule_id, kind=kind, pin=f"'{pin}'" if pin else "NULL", allowed='["+0041*", "+1*"]'
        )
        for rule_id, _, pin, kind in owned
    }
    numbers = [
        NUMBER.format(id=rule_id, number=number, kind=kind) for rule_id, number, _, kind in owned
    ]
    return [*rows.values(), *numbers]


def test_numbers_of_earlier_rules_become_e164_and_keep_their_pins(empty_url: str) -> None:
    database = earlier(
        empty_url,
        "0009",
        *rules_of_before(
            ("pasted", "+14155550106\u202c", "4321", "inbound"),
            ("open", "+14155550106", "", "inbound"),
            ("words", "+1800FLOWERS", "", "inbound"),
            ("twice", "+1415\u00a05550107", "", "inbound"),
            ("twice", "+14155550107", "", "inbound"),
            ("broken", "+1415\u0301", "77", "inbound"),
            ("out", "+14155550106\u202c", "", "outbound"),
            ("out2", "+14155550106", "", "outbound"),
        ),
    )
    rules = Rules(database, "secret")
    assert {rule.id: rule.numbers for rule in rules.page(per_page=100).items} == {
        "pasted": ("+14155550106",),
        "open": (),
        "words": ("+18003569377",),
        "twice": ("+14155550107",),
        "broken": ("+1415",),
        "out": ("+14155550106",),
        "out2": ("+14155550106",),
    }
    dialled, _ = rules.for_call("+14155550106", None)
    assert dialled is not None
    assert (dialled.room.pin, dialled.allowed_numbers) == ("4321", ("+41*", "+1*"))
    database.close()
