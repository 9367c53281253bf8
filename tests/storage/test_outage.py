"""A database that is away is asked by one thread at a time, until it is back."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import OperationalError

from service.errors import Busy
from service.storage.outage import Outage

REFUSED = OperationalError("BEGIN", {}, Exception("could not connect to db.example.com"))


def fail(outage: Outage) -> None:
    with pytest.raises(Busy) as busy, outage.watched():
        raise REFUSED
    assert busy.value.__cause__ is REFUSED


def ask(outage: Outage) -> None:
    with outage.watched():
        with pytest.raises(Busy), outage.watched():
            pass
        raise REFUSED


def test_while_it_answers_nobody_waits_for_another() -> None:
    outage = Outage()
    with outage.watched(), outage.watched():
        pass


def test_while_it_is_away_one_asks_and_the_others_are_told() -> None:
    outage = Outage()
    fail(outage)
    for _ in range(2):
        with pytest.raises(Busy) as busy:
            ask(outage)
        assert busy.value.__cause__ is REFUSED


def test_once_it_has_answered_nobody_waits_any_more() -> None:
    outage = Outage()
    fail(outage)
    with outage.watched():
        pass
    with outage.watched(), outage.watched():
        pass


def test_what_the_caller_does_wrong_is_no_outage() -> None:
    outage = Outage()
    with pytest.raises(ZeroDivisionError), outage.watched():
        raise ZeroDivisionError
    with outage.watched(), outage.watched():
        pass


def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage()
    fail(outage)
    fail(outage)
    with outage.watched():
        pass
    away, back = [record.getMessage() for record in caplog.records]
    assert away == "the database is away: (builtins.Exception) could not connect to db.example.com"
    assert back == "the database is back"
