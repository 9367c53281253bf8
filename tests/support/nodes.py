"""Several nodes on one database: in one process, and as processes that can be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.storage.database import Database
from tests.support.paths import ROOT


def url_of(database: Database) -> str:
    return database._url.render_as_string(hide_password=False)


@contextmanager
def another(database: Database) -> Iterator[Database]:
    """The same database as another process has it: with signals and connections of its own."""
    second = Database(url_of(database))
    try:
        yield second
    finally:
        second.close()


@contextmanager
def node_process(module: str, database: Database, node_id: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a module of ``tests.support``. It has started when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.support.{module}", url_of(database), node_id],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        process.kill()
        process.communicate()
