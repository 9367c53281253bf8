"""Frames that the load generator sends in one slot."""

from __future__ import annotations

import socket

from websockets.protocol import Protocol, Side

from bench.load import test_signal
from bench.load.calls import Call, Slot
from bench.load.connect import Ticket
from bench.load.dialects import FIRST_CHUNK, Phone
from service.domain.wire import Audio, Event
from service.providers import load


def events(provider: str, data: bytes) -> list[Event]:
    """Return the events that the server decodes from a call's bytes."""
    server, wire = Protocol(Side.SERVER), load()[provider].wire()
    server.receive_data(data)
    return [event for frame in server.events_received() for event in wire.receive(frame.data)]


def test_each_call_sends_its_frame_in_its_own_dialect() -> None:
    slot = Slot()
    ends = {}
    for seat, provider in enumerate(("twilio", "telnyx")):
        call = Call(Ticket("/", Phone(provider), seat), (), phase=0)
        call.sock, ends[provider] = socket.socketpair()
        call.begin()
        slot.add(call)
    frame = test_signal.NUMBERS + 6
    assert slot.send(frame) == 0
    for seat, (provider, end) in enumerate(ends.items()):
        phone = Phone(provider)
        _, audio = events(provider, end.recv(65_536))
        assert isinstance(audio, Audio)
        assert audio.payload == test_signal.encode(seat, 6, phone.inbound)
        assert audio.order == (FIRST_CHUNK + frame if provider == "telnyx" else None)
        end.close()
    # Both sockets are closed now.
    assert slot.send(frame + 1) == 2
