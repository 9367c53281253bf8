"""The custom WebSocket protocol: flat JSON messages and PCM16 little endian at 8 kHz.

For browsers, agents and any other program that is not a phone provider. ``clear`` and ``mark`` are
additions to the protocol of VideoSDK; its clients ignore events that they do not know.
"""

from __future__ import annotations

from binascii import b2a_base64

import orjson

from service.domain.calls import Participant
from service.domain.wire import (
    Audio,
    Clear,
    Command,
    Encoding,
    Event,
    Mark,
    Marked,
    MeetingJoined,
    MeetingLeft,
    Message,
    ParticipantJoined,
    ParticipantLeft,
    Play,
    Publish,
    Started,
    Stopped,
    Subscribe,
    Unknown,
    Unsubscribe,
)
from service.errors import RemoteError
from service.providers.base.fast_path import FastPath
from service.providers.base.json_fields import Document, decode, envelope, payload, section, text

ENCODING = Encoding.LINEAR

MAX_NAME = 128
"""Characters of a topic or of the name of a mark."""

MAX_TEXT = 16_384
"""Bytes of a published text in UTF-8."""

PREFIX, SUFFIX = envelope({"event": "media", "payload": ""})


def socket_url(media_base: str, ref: str) -> str:
    """Return the URL of one custom WebSocket, in the form that VideoSDK's clients expect."""
    return f"{media_base}/videosdk?ref={ref}"


class WebSocketWire:
    """Socket of one custom participant, whom the URL identifies."""

    names_call = False
    close_ends_call = True
    paces_itself = False

    def __init__(self) -> None:
        self._started = False
        self._fast_path = FastPath()
        self.audio = self._fast_path.audio
        self.kind = self._fast_path.kind
        self.template = self._fast_path.template

    def receive(self, message: bytes) -> list[Event]:
        document = decode(message)
        name = text(document, "event")
        match name:
            case "start":
                if self._started:
                    raise RemoteError("start came twice.")
                self._started = True
                return [Started(inbound=ENCODING, outbound=ENCODING)]
            case "stop":
                return [Stopped()]
        event = _event(name, document)
        if not self._started and not isinstance(event, Unknown):
            raise RemoteError(f"{name} came before start.")
        if isinstance(event, Audio):
            self._fast_path.learn(message, document["payload"])
        return [event]

    def send(self, command: Command) -> list[bytes]:
        if isinstance(command, Play):
            return [PREFIX + b2a_base64(command.payload, newline=False) + SUFFIX]
        said = _say(command)
        return [] if said is None else [orjson.dumps(said)]

    def envelope(self) -> tuple[bytes, bytes]:
        return PREFIX, SUFFIX


def _event(name: str, document: Document) -> Event:
    match name:
        case "media":
            return _audio(document)
        case "subscribe":
            return Subscribe(_short(document, "topic"))
        case "unsubscribe":
            return Unsubscribe(_short(document, "topic"))
        case "message":
            return Publish(_short(document, "topic"), _text(document))
        case "clear":
            return Clear()
        case "mark":
            # Clients written for a phone provider nest the name.
            return Mark(
                _short(section(document, "mark") if "mark" in document else document, "name")
            )
        case _:
            return Unknown(name[:MAX_NAME])


def _audio(document: Document) -> Audio:
    return Audio(payload(document, ENCODING.bytes_per_sample))


def _short(document: Document, name: str) -> str:
    value = text(document, name)
    if len(value) > MAX_NAME:
        raise RemoteError(f"{name} must be 1 to {MAX_NAME} characters.")
    return value


def _text(document: Document) -> str:
    value = document.get("data")
    if not isinstance(value, str) or len(value.encode()) > MAX_TEXT:
        raise RemoteError(f"data must be a string of at most {MAX_TEXT} bytes.")
    return value


def _say(command: Command) -> Document | None:
    match command:
        case Marked(name):
            return {"event": "mark", "name": name}
        case MeetingJoined(room_id, session_id):
            return {"event": "meeting-joined", "roomId": room_id, "sessionId": session_id}
        case MeetingLeft(message, moved_to):
            room = {} if moved_to is None else {"roomId": moved_to}
            return {"event": "meeting-left", "message": message, **room}
        case ParticipantJoined(participant):
            return {"event": "participant-joined", "participant": _participant(participant)}
        case ParticipantLeft(participant):
            return {"event": "participant-left", "participant": _participant(participant)}
        case Message(topic, data):
            return {"event": "message", "topic": topic, "data": dict(data)}
        case _:
            return None


def _participant(participant: Participant) -> Document:
    return {"id": participant.id, "name": participant.name, "metadata": dict(participant.metadata)}
