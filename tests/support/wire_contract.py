"""Contract tests that every media dialect passes.

A test class inherits ``WireContract`` and sets the class attributes to the messages of its vendor's
documentation.
"""

from __future__ import annotations

import copy
import json
import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.wire import Audio, Command, Event, Play, Started, Unknown, Wire
from service.errors import RemoteError

Document = dict[str, Any]

FRAME = bytes(range(160))

OTHER_VALUES = (None, True, 0, -1, 7, 1.5, "", "x", "9" * 5000, [], [[]], {}, {"x": 1}, "\u0661")


def compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def mutations(document: Document) -> Iterator[Document]:
    """Yield ``document`` with each value in turn, at any depth, removed or replaced."""
    return (mutant for _, mutant in placed_mutations(document))


def placed_mutations(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield each mutation with the path of the changed value, such as ``start.callId``."""

    def places(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield (*path, key)
                yield from places(inner, (*path, key))

    for *path, key in places(document, ()):
        for replacement in (..., *OTHER_VALUES):
            mutant = copy.deepcopy(document)
            parent = mutant
            for step in path:
                parent = parent[step]
            if replacement is ...:
                del parent[key]
            else:
                parent[key] = replacement
            yield ".".join((*path, key)), mutant


def with_value(document: Document, place: str, value: object) -> Document:
    """Return ``document`` with another value at a path."""
    changed = copy.deepcopy(document)
    *path, last = place.split(".")
    parent = changed
    for step in path:
        parent = parent[step]
    parent[last] = value
    return changed


def outcome(read: Callable[[bytes], list[Event]], message: bytes) -> list[Event] | None:
    """Return the events of ``message``, or None if it is refused. Raise any other error."""
    try:
        return read(message)
    except RemoteError as error:
        sentence = error.message
    assert sentence.endswith(".")
    assert len(sentence) < 200
    return None


def shuffled(draw: st.DrawFn, document: object) -> object:
    if not isinstance(document, dict):
        return document
    keys = draw(st.permutations(list(document)))
    return {key: shuffled(draw, document[key]) for key in keys}


class WireContract(ABC):
    """The contract of a dialect, tested with its documented messages.

    ``start`` is a full start message and ``started`` its event. ``media`` is a full audio message
    and ``payload_path`` the path of its payload. ``decoded`` has messages after the start with
    their events, ``encoded`` has commands with their messages, and ``early`` has the names of the
    messages that are invalid before the start.
    """

    start: ClassVar[Document]
    started: ClassVar[Started]
    media: ClassVar[Document]
    payload_path: ClassVar[tuple[str, ...]]
    decoded: ClassVar[tuple[tuple[Document, list[Event]], ...]]
    encoded: ClassVar[tuple[tuple[Command, Document], ...]]
    early: ClassVar[frozenset[str]]

    @abstractmethod
    def new_wire(self) -> Wire:
        """Return a wire that has received nothing."""

    def started_wire(self) -> Wire:
        wire = self.new_wire()
        wire.receive(compact(self.start))
        return wire

    def media_with(self, payload: object) -> Document:
        return with_value(self.media, ".".join(self.payload_path), payload)

    def frame(self, payload: bytes = FRAME) -> bytes:
        return compact(self.media_with(b64encode(payload).decode()))

    def test_start_is_decoded(self) -> None:
        assert self.new_wire().receive(compact(self.start)) == [self.started]

    def test_documented_messages_are_decoded(self) -> None:
        for document, events in self.decoded:
            assert self.started_wire().receive(compact(document)) == events, document

    def test_documented_messages_are_encoded(self) -> None:
        for command, document in self.encoded:
            sent = self.started_wire().send(command)
            assert [json.loads(message) for message in sent] == [document], command

    def test_a_second_start_is_refused(self) -> None:
        with pytest.raises(RemoteError, match="start came twice"):
            self.started_wire().receive(compact(self.start))

    def test_messages_that_need_a_start_are_refused_before_it(self) -> None:
        tried = set()
        for document, _ in self.decoded:
            name = document.get("event", "")
            if name in self.early:
                tried.add(name)
                with pytest.raises(RemoteError, match="came before start"):
                    self.new_wire().receive(compact(document))
        assert tried == self.early
        with pytest.raises(RemoteError, match="came before start"):
            self.new_wire().receive(self.frame())
        assert self.new_wire().audio(self.frame()) is None

    def test_a_valid_start_is_accepted_after_a_refused_one(self) -> None:
        wire = self.new_wire()
        for mutant in mutations(self.start):
            fresh = self.new_wire()
            if outcome(fresh.receive, compact(mutant)) is None:
                assert outcome(wire.receive, compact(mutant)) is None
        assert wire.receive(compact(self.start)) == [self.started]

    def test_unknown_events_are_counted_and_never_fatal(self) -> None:
        for wire in (self.new_wire(), self.started_wire()):
            assert wire.receive(b'{"event":"brand-new","x":[1]}') == [Unknown("brand-new")]
            [event] = wire.receive(compact({"event": "n" * 100_000}))
            assert isinstance(event, Unknown)
            assert len(event.name) <= 256

    @pytest.mark.parametrize(
        "junk",
        [
            b"",
            b"hello",
            b"null",
            b"17",
            b'"media"',
            b"[]",
            b'["event","media"]',
            b"{}",
            b'{"event":null}',
            b'{"event":"media"',
            b'{"event":["media"]}',
            b"\xff\xfe",
            b'{"event":"media","x":"\xff"}',
            b'{"event":"\\ud800"}',
            b"[" * 100_000,
            b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
            b'{"event":"media","media":' + b"[" * 5000 + b"]" * 5000 + b"}",
        ],
        ids=lambda junk: junk[:30],
    )
    def test_junk_is_refused(self, junk: bytes) -> None:
        for wire in (self.new_wire(), self.started_wire()):
            assert wire.audio(junk) is None
            assert outcome(wire.receive, junk) is None

    def test_wrong_types_are_refused_or_decoded(self) -> None:
        for mutant in mutations(self.start):
            outcome(self.new_wire().receive, compact(mutant))
        for document in (self.media_with("AAAA"), *(document for document, _ in self.decoded)):
            for mutant in mutations(document):
                message = compact(mutant)
                outcome(self.new_wire().receive, message)
                events = outcome(self.started_wire().receive, message)
                learned = self.started_wire()
                outcome(learned.receive, compact(document))
                audio = learned.audio(message)
                assert audio is None or events == [audio], mutant

    @pytest.mark.hypothesis
    def test_any_bytes_are_refused_or_decoded(self) -> None:
        wire = self.started_wire()

        @given(
            st.binary()
            | st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            ).map(lambda value: json.dumps(value).encode())
        )
        def check(message: bytes) -> None:
            outcome(wire.receive, message)
            wire.audio(message)

        check()

    def test_audio_goes_in_and_out_unchanged(self) -> None:
        wire = self.started_wire()
        [heard] = wire.receive(self.frame())
        assert isinstance(heard, Audio)
        assert heard.payload == FRAME
        [sent] = wire.send(Play(heard.payload))
        assert b64encode(FRAME) in sent

    def test_bad_base64_is_refused(self) -> None:
        wire = self.started_wire()
        for payload in (
            "A",
            "AAA",
            "AA=A",
            "AAAA\n",
            "A A A A",
            "_-_-",
            "ÄÄÄÄ",
            "%%%%",
            "AAAA=AAA",
        ):
            message = compact(self.media_with(payload))
            assert wire.audio(message) is None
            with pytest.raises(RemoteError, match="payload"):
                wire.receive(message)

    def test_the_envelope_surrounds_the_payload_as_play_does(self) -> None:
        wire = self.started_wire()
        prefix, suffix = wire.envelope()
        assert wire.send(Play(FRAME)) == [prefix + b64encode(FRAME) + suffix]
        assert wire.send(Play(b"")) == [prefix + suffix]

    def test_the_fast_path_takes_audio_that_resembles_an_earlier_message(self) -> None:
        for separators in ((",", ":"), (", ", ": ")):
            wire = self.started_wire()
            for turn in range(200):
                document = json.loads(self.frame(bytes([turn, 0]) * (len(FRAME) // 2)))
                counted = _counted(document, 10**17 + turn if turn > 100 else turn)
                message = json.dumps(counted, separators=separators).encode()
                audio = wire.audio(message)
                assert [audio] == wire.receive(message) or turn == 0
                assert audio is not None or turn == 0

    def test_the_fast_path_takes_no_number_that_the_general_path_refuses(self) -> None:
        first = self.frame().decode()
        for message in map(str.encode, _other_numbers(first)):
            wire = self.started_wire()
            wire.receive(first.encode())
            assert wire.audio(first.encode()) is not None
            audio = wire.audio(message)
            assert audio is None or outcome(wire.receive, message) == [audio], message

    def test_the_fast_path_ignores_other_messages(self) -> None:
        wire = self.started_wire()
        assert wire.audio(compact(self.start)) is None
        for document, events in self.decoded:
            if not any(isinstance(event, Audio) for event in events):
                assert wire.audio(compact(document)) is None, document

    @pytest.mark.hypothesis
    def test_the_fast_path_agrees_with_the_general_path(self) -> None:
        @st.composite
        def messages(draw: st.DrawFn) -> tuple[bytes, bytes]:
            payload = b64encode(draw(st.binary(max_size=12))).decode()
            document = self.media_with(draw(st.sampled_from([payload, payload + "A", "\\", "é"])))
            spaces = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
            first = json.dumps(shuffled(draw, document), separators=spaces)
            message = draw(st.sampled_from([first, *_other_numbers(first)]))
            old, new = draw(
                st.sampled_from(
                    [
                        ("", ""),
                        ("payload", "p\\u0061yload"),
                        ('"payload"', '"payload":"AAAA","payload"'),
                        ('"event"', '"event":"stop","event"'),
                        ('"media"', '"media":{"payload":"AAAA"},"media"'),
                        ("{", '{"track":"outbound",'),
                        ('"inbound"', '"outbound"'),
                        ("}", "}}"),
                        ('"', "'"),
                        (":", ":\x01"),
                        (payload, payload.replace("/", "\\/")),
                    ]
                )
            )
            changed = message.replace(old, new, draw(st.sampled_from([1, -1])))
            learned = draw(st.sampled_from([first, changed]))
            return learned.encode(), changed.encode()

        @given(messages())
        def check(pair: tuple[bytes, bytes]) -> None:
            learned, message = pair
            wire = self.started_wire()
            outcome(wire.receive, learned)
            audio = wire.audio(message)
            events = outcome(wire.receive, message)
            assert audio is None or events == [audio]

        check()


def _counted(document: object, number: int) -> object:
    """Return the document with every whole number, bare or quoted, replaced."""
    if isinstance(document, dict):
        return {key: _counted(value, number) for key, value in document.items()}
    if isinstance(document, str) and document.isdigit():
        return str(number)
    return number if isinstance(document, int) else document


def _other_numbers(message: str) -> list[str]:
    """Return variants of the message with other, partly invalid, numbers."""
    numbers = ("7", "0", "007", "9" * 18, "9" * 19, "9" * 40)
    return [re.sub(r'(?<=[:" ])[0-9]+(?=[" ,}])', number, message) for number in numbers]
