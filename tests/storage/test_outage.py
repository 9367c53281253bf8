"""During an outage one transaction at a time tries the database."""

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


def test_transactions_run_in_parallel_while_the_database_answers() -> None:
    outage = Outage()
    with outage.watched(), outage.watched():
        pass


def test_one_transaction_tries_during_an_outage_and_others_fail_fast() -> None:
    outage = Outage()
    fail(outage)
    for _ in range(2):
        with pytest.raises(Busy) as busy:
            ask(outage)
        assert busy.value.__cause__ is REFUSED


def test_transactions_run_in_parallel_again_after_an_outage() -> None:
    outage = Outage()
    fail(outage)
    with outage.watched():
        pass
    with outage.watched(), outage.watched():
        pass


def test_an_error_of_the_caller_is_no_outage() -> None:
    outage = Outage()
    with pytest.raises(ZeroDivisionError), outage.watched():
        raise ZeroDivisionError
    with outage.watched(), outage.watched():
        pass


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage()
    fail(outage)
    fail(outage)
    with outage.watched():
        pass
    away, back = [record.getMessage() for record in caplog.records]
    assert away == "the database is away: (builtins.Exception) could not connect to db.example.com"
    assert back == "the database is back"
