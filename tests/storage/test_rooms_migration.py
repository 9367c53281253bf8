"""Rooms and sessions that a migration makes from the calls of an earlier version."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import make_url, text

from service.storage import migrations
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions

CALL = (
    "INSERT INTO calls (id, provider, provider_call_id, room_id, session_id, caller, callee,"
    " status, participant_id, participant_name, participant_metadata, region, started_at,"
    " answered_at, ended_at, attempts)"
    " VALUES (:id, 'twilio', :id, :room, :session, '+1', '+2', :status, :who, :who, '{}', 'us002',"
    " :start, :answered, :end, 1)"
)


def test_calls_of_an_earlier_version_become_rooms_sessions_and_presences(empty_url: str) -> None:
    if empty_url.startswith("sqlite"):
        Path(make_url(empty_url).database or "").parent.mkdir(parents=True)
    database = Database(empty_url)
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrations.FOLDER))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for number, (room, session, who, start, answered, end) in enumerate(
            [
                ("r1", "s1", "ann", 1_000, 2_000, 5_000),
                ("r1", "s1", "bob", 1_500, 3_000, 4_000),
                ("r1", "s2", "ann", 6_000, 7_000, None),
                ("r2", None, "cat", 8_000, None, 9_000),
                (None, None, "dan", 9_000, None, 9_000),
            ]
        ):
            status = "answered" if end is None else "ended"
            connection.execute(
                text(CALL),
                {
                    "id": f"call-{number}",
                    "room": room,
                    "session": session,
                    "who": who,
                    "status": status,
                    "start": start,
                    "answered": answered,
                    "end": end,
                },
            )
    database.migrate()

    rooms, sessions = Rooms(database), Sessions(database)
    assert [room.id for room in rooms.page().items] == ["r2", "r1"]
    assert rooms.get("r1").created_at == 1_000
    first, second = sessions.get("s1"), sessions.get("s2")
    assert (first.room_id, first.region) == ("r1", "us002")
    assert (first.started_at, first.ended_at) == (2_000, 5_000)
    assert {who.id: who.presences[0].left_at for who in first.participants} == {
        "ann": 5_000,
        "bob": 4_000,
    }
    assert second.ended_at is None
    assert sessions.present("s2") == ["call-2"]
    database.close()
