"""The examples, started as a user starts them, in a room with a phone on a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.simulator.audio import sound
from service.simulator.audio.codec import RATE, Samples
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.dispatches import dispatch, invitation, running
from tests.support.patchbays import ATTEMPTS, Patchbay
from tests.support.paths import ROOT
from tests.support.servers import PATIENCE
from tests.support.spectrum import level

DIGITS = ROOT / "examples" / "digits"


def likeness(heard: Samples, sound: Samples) -> float:
    """Return the maximum correlation of a sound with a recording: 1 if it is contained."""
    long, short = heard.astype(float), sound.astype(float)
    if len(long) < len(short):
        return 0.0
    products = np.correlate(long, short, "valid")
    energy = np.convolve(long**2, np.ones(len(short)), "valid") * np.sum(short**2)
    return float((products / np.sqrt(energy + 1)).max())


def spoken(key: str) -> Samples:
    return sound.read(DIGITS / f"{key}.wav")


@pytest.mark.parametrize("provider", ["twilio", "plivo", "telnyx"])
def test_the_digits_agent_speaks_each_key_and_stops_for_the_next(
    patchbay: Patchbay, provider: str
) -> None:
    room = f"digits-{provider}"
    silence = np.zeros(160, np.int16)
    plan = Scenario(webhook_url=patchbay.webhook(provider, room), sample=silence, loop=True)
    with running("digits_agent") as url:
        call_id, body = invitation(patchbay, room)
        assert dispatch(url, body) == 204
        patchbay.eventually(lambda: patchbay.call(call_id)["status"] == "answered")
        phone = Phone(plan).start()
        phone.wait_for("first-audio")

        def attempt() -> bool:
            """Press a key while another is spoken; return whether that was not too late."""
            three, pound = spoken("3"), spoken("pound")
            began = phone.streamed
            phone.press("3")
            patchbay.eventually(lambda: np.count_nonzero(phone.heard[began:]) > 800)
            keys, clears = len(phone.report.digits_sent), phone.report.clears
            phone.press("#")
            patchbay.eventually(lambda: len(phone.report.digits_sent) > keys)
            pressed = phone.streamed
            patchbay.eventually(lambda: phone.streamed > pressed + len(pound) + RATE)
            if pressed - began > len(three):
                return False
            heard = phone.heard[began:]
            assert likeness(heard, three[:800]) > 0.95
            assert likeness(heard, three[-2000:]) < 0.8
            assert likeness(heard, pound) > 0.95
            assert phone.report.clears == clears + 1
            return True

        assert any(patchbay.undisturbed(attempt) for _ in range(ATTEMPTS))
        phone.hang_up()
        phone.join(PATIENCE)


class PublicKey(BaseHTTPRequestHandler):
    key: RSAPrivateKey

    def do_GET(self) -> None:
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        body = json.dumps({"publicKey": f"\n{pem.decode()}"}).encode()
        self.send_response(200 if self.path == "/v2/public/rsa-public-key" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def publishing(key: RSAPrivateKey) -> Iterator[str]:
    """Yield the base URL of a server that publishes this key's public half."""
    handler = type("Handler", (PublicKey,), {"key": key})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_echo_agent_accepts_signed_dispatches_and_echoes_audio(
    patchbay: Patchbay,
) -> None:
    room = "echo"
    key = generate_private_key(65_537, 2048)
    said = sound.tone(700, 1.0, -18)
    plan = Scenario(webhook_url=patchbay.webhook("telnyx", room), sample=said, loop=True)
    with publishing(key) as publisher, running("echo_agent", "--patchbay", publisher) as url:
        phone = Phone(plan).start()
        phone.wait_for("first-audio")
        _, body = invitation(patchbay, room)
        signature = key.sign(body, PKCS1v15(), SHA256())
        assert dispatch(url, body) == 403
        assert dispatch(url, body, key.sign(b"another", PKCS1v15(), SHA256())) == 403
        assert dispatch(url, body, signature) == 204
        patchbay.eventually(
            lambda: level(phone.heard[-RATE // 2 :], 700) == pytest.approx(-18, abs=1)
        )
        phone.hang_up()
        phone.join(PATIENCE)
    assert phone.report.problems == ()
