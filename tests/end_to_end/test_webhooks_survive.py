"""Events survive a kill of the server: each arrives in order, although receivers fail."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.domain.webhooks import DeliveryStatus
from service.storage.database import Database
from service.storage.webhooks.outbox import Outbox
from tests.support.deliveries import a_delivery, nothing_waits, subscribe, write
from tests.support.receivers import Answer, Received, die, receiving, redirect
from tests.support.servers import Server, serving

RECEIVERS = 20
EVENTS = 50
MIDDLE = RECEIVERS * EVENTS * 2 // 5


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Open the server's database before its first start."""
    database = Database(f"sqlite:///{tmp_path}/patchbay.db")
    database.migrate()
    yield database
    database.close()


def workers(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", server.output)]


def kill(server: Server) -> None:
    """Kill both processes of the server at once."""
    (worker,) = workers(server)
    server.send(signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("killed", ["the server", "one worker of two"])
def test_every_event_arrives_after_failures_of_receivers_and_processes(
    database: Database, tmp_path: Path, killed: str
) -> None:
    now = SystemClock().now()
    with receiving() as receiver:
        chance = random.Random(7)
        lock = threading.Lock()
        taken: list[Received] = []

        def answer(request: Received) -> Answer:
            with lock:
                luck = chance.random()
                if luck < 0.01:
                    return 500
                if luck < 0.02:
                    return die
                if luck < 0.12 and "moved" not in request.path:
                    return redirect(307, f"/moved{request.path}")
                taken.append(request)
            if luck > 0.9:
                pause.wait(0.05)
            return 200

        pause = threading.Event()
        receiver.answer = answer
        for number in range(RECEIVERS):
            subscribe(database, f"wh_{number}", f"{receiver.url}/{number}")
            events = (a_delivery(event, f"wh_{number}", now) for event in range(EVENTS))
            write(database, *events)
        outbox = Outbox(database)
        settings = {"WEBHOOK_ALLOW_PRIVATE": "on"}
        if killed == "the server":
            with serving(tmp_path, **settings) as server:
                receiver.wait_for(MIDDLE)
                kill(server)
            assert outbox.count()
            with serving(tmp_path, **settings):
                nothing_waits(outbox)
        else:
            with serving(tmp_path, **settings, WEB_CONCURRENCY="2") as server:
                receiver.wait_for(MIDDLE)
                os.kill(workers(server)[0], signal.SIGKILL)
                assert outbox.count()
                nothing_waits(outbox)

    by_path: dict[str, list[Received]] = defaultdict(list)
    for request in taken:
        by_path[request.path.rpartition("/")[2]].append(request)
    for number in range(RECEIVERS):
        bodies = [int(request.body) for request in by_path[str(number)]]
        assert set(bodies) == set(range(EVENTS))
        assert bodies == sorted(bodies)
        for request in by_path[str(number)]:
            assert request.delivery_id == f"dl_wh_{number}_{int(request.body)}"
        told = outbox.recent(f"wh_{number}")
        assert {delivery.status for delivery in told} == {DeliveryStatus.DELIVERED}
    # At most one event per receiver is sent twice: the one in flight at the kill.
    assert len(taken) <= RECEIVERS * (EVENTS + 1)


def test_a_hanging_receiver_delays_no_other(database: Database, tmp_path: Path) -> None:
    now = SystemClock().now()
    with receiving() as before, receiving() as hanging, receiving() as after:
        held: list[socket.socket] = []

        def hang(handler: BaseHTTPRequestHandler) -> None:
            held.append(handler.connection)
            hanging.hang(handler)

        hanging.answer = lambda _: hang
        for receiver_id, each in (("wh_1", before), ("wh_2", hanging), ("wh_3", after)):
            subscribe(database, receiver_id, f"{each.url}/hook")
            write(database, *(a_delivery(event, receiver_id, now) for event in range(20)))
        with serving(tmp_path, WEBHOOK_ALLOW_PRIVATE="on") as server:
            hanging.wait_for(1)
            before.wait_for(20)
            after.wait_for(20)
            # The first attempt is still under way, and no other is.
            assert [request.body for request in hanging.received] == [b"0"]
            with pytest.raises(BlockingIOError):
                held[0].recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            hanging.released.set()
    assert "/hook" not in server.output
