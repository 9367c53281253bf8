"""Many calls, and a receiver with all kinds of failures: it receives every event."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.simulator.phone import Phone
from service.simulator.report import Ending
from service.simulator.scenario import Scenario
from tests.support.node_signatures import verified
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.receivers import Answer, Received, Receiver, die, receiving, redirect
from tests.support.servers import PATIENCE

CALLS = 48
AT_ONCE = 8
PROVIDERS = ("twilio", "plivo", "telnyx")
EVENTS = ["call-started", "call-answered", "call-hangup"]
OF_STATUS = {"ended": EVENTS, "abandoned": ["call-started", "call-hangup"]}
"""On a busy machine a short call may end before its stream's start was stored."""


class Moody:
    """Answers of a receiver: one hang, a few failures and resets, many redirects and delays.

    ``taken`` are the requests that it has acknowledged.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.taken: list[Received] = []
        self._receiver = receiver
        self._chance = random.Random(11)
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._moods: list[Answer] = [receiver.hang, 500, die, 503, die, 404]

    def answer(self, request: Received) -> Answer:
        with self._lock:
            luck = self._chance.random()
            if self._moods and luck < 0.05:
                return self._moods.pop()
            if luck > 0.95 and request.path != "/moved":
                return redirect(307, "/moved")
            self.taken.append(request)
        if luck > 0.8:
            self._pause.wait(0.02)
        return 200

    def has_heard(self, count: int) -> bool:
        with self._lock:
            return len({each.delivery_id for each in self.taken}) >= count


def statuses(patchbay: Patchbay) -> dict[str, str]:
    """Return the status of every call by its caller."""
    return {call["from"]: call["status"] for call in patchbay.calls()}


@pytest.fixture
def patchbay(tmp_path: Path) -> Iterator[Patchbay]:
    with running_patchbay(tmp_path, WEBHOOK_ALLOW_PRIVATE="on") as patchbay:
        yield patchbay


def test_every_event_of_many_calls_arrives_and_is_signed(patchbay: Patchbay) -> None:
    hooks = [patchbay.webhook(name, f"room-{n}") for n, name in enumerate(PROVIDERS)]

    def call(number: int) -> Ending:
        plan = Scenario(webhook_url=hooks[number % 3], caller=f"+1415{number:07}", loop=True)
        phone = Phone(plan).start()
        phone.wait_for("first-audio")
        phone.hang_up()
        phone.join(PATIENCE)
        return phone.report.ended

    with receiving() as receiver:
        moody = Moody(receiver)
        receiver.answer = moody.answer
        wanted = {"url": receiver.url, "events": EVENTS}
        status, subscription = patchbay.ask("POST", "/v2/sip/webhooks", wanted)
        assert status == 201
        with ThreadPoolExecutor(AT_ONCE) as pool:
            endings = list(pool.map(call, range(CALLS)))
        assert endings == [Ending.CALLER_HUNG_UP] * CALLS
        patchbay.eventually(lambda: set(statuses(patchbay).values()) <= OF_STATUS.keys())
        expected = {caller: OF_STATUS[status] for caller, status in statuses(patchbay).items()}
        count = sum(map(len, expected.values()))
        for _ in range(5):  # Each waits a minute: a timeout and the pauses after failures.
            try:
                patchbay.eventually(lambda: moody.has_heard(count))
                break
            except AssertionError:
                continue
        assert moody.has_heard(count)

    _, key = patchbay.ask("GET", "/v2/public/rsa-public-key")
    signed = [(each.headers["videosdk-signature"], each.body.decode()) for each in moody.taken]
    assert verified(key["publicKey"], signed) == [[True, True]] * len(signed)

    first: dict[str, Received] = {}
    for each in moody.taken:
        assert first.setdefault(each.delivery_id, each).body == each.body
    told = defaultdict(list)
    for each in first.values():
        document = json.loads(each.body)
        told[document["data"]["from"]].append(document["webhookType"])
    assert told == expected
    assert expected.keys() == {f"+1415{number:07}" for number in range(CALLS)}
    assert EVENTS in expected.values()

    path = f"/v2/sip/webhooks/{subscription['id']}/deliveries"
    _, listed = patchbay.ask("GET", path)
    assert {each["status"] for each in listed["data"]} == {"delivered"}
