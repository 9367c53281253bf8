"""Floods against a real server: refused and accepted requests, and calls that hear each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.security import access_tokens
from service.security.failure_limit import BURST
from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Samples
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.agents import Agent
from tests.support.flooding import besieged, flood, outcome
from tests.support.patchbays import Patchbay, running_patchbay
from tests.support.servers import PATIENCE
from tests.support.spectrum import level
from tests.support.upgrades import upgrade


@pytest.fixture(scope="module")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    """A server behind a proxy, so that each test has an address of its own to be limited by."""
    data: Path = tmp_path_factory.mktemp("data")
    # Fewer connections than the clients that never finish would open.
    with running_patchbay(data, "--worker-connections", "100", TRUST_PROXY="1") as patchbay:
        yield patchbay


def opened(url: str, address: str) -> tuple[int, bytes]:
    status, head, connection = upgrade(url, X_Forwarded_For=address)
    connection.close()
    return status, head


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/twilio/Nf5tQ8wLz2XcR7vKb4MjH9pGs6DyA3eU", "203.0.113.1"),
        ("/videosdk?ref=vs_k3x9m2p7q4w8z1r6t5b0", "203.0.113.2"),
    ],
)
def test_unknown_references_are_limited_and_known_ones_are_not(
    patchbay: Patchbay, path: str, address: str
) -> None:
    statuses = [opened(patchbay.url + path, address)[0] for _ in range(BURST)]
    assert statuses == [404] * BURST
    while (answer := opened(patchbay.url + path, address))[0] == 404:
        pass  # One more for each second that this has taken.
    assert answer[0] == 429
    assert b"\r\nRetry-After: 1\r\n" in answer[1]
    url = patchbay.invite("room-1")["wsUrl"]
    assert opened(url, address)[0] == 101
    assert opened(url, address)[0] == 410


PROVIDERS = ("twilio", "plivo", "telnyx")
LOUD = -18.0
"""Level of a tone of which half is heard, in dBFS: the tones are 6 dB louder."""

TONES = {"twilio": 500.0, "plivo": 800.0, "telnyx": 1100.0, "agent": 1400.0}


class House:
    """Calls in a room: a phone of each provider, and an agent."""

    def __init__(self, patchbay: Patchbay) -> None:
        self._patchbay = patchbay
        url = patchbay.invite("house")["wsUrl"]
        self._agent = Agent(url, sound.tone(TONES["agent"], 1.0))
        self._phones = {
            name: Phone(
                Scenario(
                    webhook_url=patchbay.webhook(name, "house"),
                    sample=sound.tone(TONES[name], 1.0),
                    loop=True,
                )
            ).start()
            for name in PROVIDERS
        }

    def hear_each_other(self) -> None:
        """Return when each has heard every other one in a second that begins now or later.

        A busy machine, as this one is that also floods, skips audio, but not for good.
        """
        began = {name: phone.streamed for name, phone in self._phones.items()}
        heard = len(self._agent.heard)
        for name, phone in self._phones.items():
            self._patchbay.eventually(
                lambda phone=phone, name=name: (
                    phone.streamed >= began[name] + RATE and hears(phone.heard[-RATE:], name)
                )
            )
        self._patchbay.eventually(
            lambda: (
                len(self._agent.heard) >= heard + RATE and hears(self._agent.heard[-RATE:], "agent")
            )
        )

    def stays(self) -> None:
        """Assert that every socket is still the first one."""
        for phone in self._phones.values():
            assert not {"closed", "redirect", "end"} & {event.name for event in phone.events}
        assert self._agent.close_code is None

    def leave(self) -> None:
        for phone in self._phones.values():
            phone.hang_up()
            phone.join(PATIENCE)
        self._agent.leave()


def hears(audio: Samples, name: str) -> bool:
    """Return whether the audio has the tones of all others."""
    return all(level(audio, tone) > LOUD for other, tone in TONES.items() if other != name)


@pytest.fixture
def house(patchbay: Patchbay) -> Iterator[House]:
    house = House(patchbay)
    try:
        house.hear_each_other()
        yield house
    finally:
        house.leave()


def require_new_calls(patchbay: Patchbay) -> None:
    """Make calls one after the other: each gets audio."""
    for name in PROVIDERS:
        assert patchbay.server.get("/healthz") == 200
        late = Phone(Scenario(webhook_url=patchbay.webhook(name, "late"), loop=True)).start()
        late.wait_for("first-audio")
        late.hang_up()
        late.join(PATIENCE)


def test_a_flood_of_bad_tokens_and_keys_disturbs_no_call(patchbay: Patchbay, house: House) -> None:
    token = access_tokens.mint("key", "another-secret" * 3, 1_000)
    address = patchbay.url.removeprefix("http://")
    paths = ("/v2/connectors", "/v2/hooks/twilio/whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu")
    fields = f"Authorization: {token}\r\nX-Forwarded-For: 203.0.113.3"
    process = flood(address, fields, *paths)
    require_new_calls(patchbay)
    house.hear_each_other()
    house.stays()
    good = [patchbay.ask("GET", "/v2/connectors")[0] for _ in range(20)]
    statuses = outcome(process)
    assert good == [200] * 20
    assert statuses.keys() == {401, 404, 429}
    assert statuses[429] > statuses[401] + statuses[404]


def test_clients_that_never_finish_disturb_no_call(patchbay: Patchbay, house: House) -> None:
    with besieged(patchbay.url.removeprefix("http://")):
        require_new_calls(patchbay)
        house.hear_each_other()
        house.stays()
        assert patchbay.server.get("/healthz") == 200
    assert patchbay.server.output.count("Booting worker") == 1
    assert "Traceback" not in patchbay.server.output
