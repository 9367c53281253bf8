"""Contract tests that every phone provider passes.

A test class inherits ``ProviderContract`` and sets the class attributes to the webhooks and
messages of its vendor's documentation.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import ClassVar
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.calls import Refusal
from service.domain.wire import Audio, Event, Fence, Flush, Ignored, Message, Started, Wire
from service.errors import RefusedStart, RemoteError
from service.providers.base.provider import Arrival, Notice, Provider, Webhook
from tests.support.signature_contract import SignatureContract
from tests.support.wire_contract import (
    FRAME,
    Document,
    WireContract,
    compact,
    placed_mutations,
    with_value,
)

REF_SPELLINGS = (
    "{X-PH-ref: REF}",
    "{X-PH-Ref: REF}",
    "{x-ph-ref:REF}",
    "{X-VH-ref: REF}",
    "{X-PH-name: Ann, X-PH-ref: REF, X-PH-a: b:c=d}",
    "X-PH-ref=REF",
    "X-PH-a=1;X-PH-ref=REF",
    "{ref: REF}",
    "ref: REF",
    "ref=REF",
    "a=1;ref=REF",
    "ref=REF;a=1",
    "a=1,ref=REF,b=2",
    " ref = REF ",
    '{"ref":"REF"}',
    '{"X-PH-ref": "REF"}',
    ' {"a":1,"ref":"REF"}',
    '"{X-PH-ref: REF}"',
    "{'ref': 'REF'}",
    '[{"name": "ref", "value": "REF"}]',
    {"ref": "REF"},
    {"X-PH-ref": "REF"},
    {"a": "1", "name": "Ann", "REF": " REF "},
    [{"name": "a", "value": "1"}, {"name": "ref", "value": "REF"}],
    [7, None, {}, [["ref=EVE"]], {"name": "ref", "value": "REF"}],
    [{"a": "1"}, {"ref": "REF"}],
    ["a=1", "ref=REF"],
)
"""Known and possible spellings of the reference in the parameters of a start message."""

NO_REF = (None, "", "{}", {}, [], "xref=REF", "ref", "ref=", "a=1;;=;,", '{"ref":', "{" * 2000)
NO_REF += (
    '{"a":' * 2000,
    "\x00",
    {"": ""},
    {"ref": None},
    {"ref": ""},
    "preference=1",
    [["ref=REF"]],
)
NO_REF += ([{"name": "other", "value": "REF"}], [7, None])

ODD_REF = (7, 7.5, True, {"ref": 7}, {"ref": {"ref": "REF"}}, '{"ref":7}', {"X-PH-ref": ["REF"]})
ODD_REF += ([{"name": "ref", "value": []}],)

EIGHT_KHZ = (8000, 8000.0, "8000", "8000.0", " 8000 ", "08000", None, "", 0)
ONE_CHANNEL = (1, 1.0, "1", "1.0", None)
NO_NUMBERS = (True, "8 kHz", [8000], {"rate": 8000}, -8000, "-1", 8000.5, "mono")

CALLERS_TRACKS = ("inbound", "INBOUND", "inbound_track", "Inbound_Track", "both", "both_tracks")
CALLERS_TRACKS += ("caller", "", None, 7, True, [], {"x": 1})
OUR_TRACKS = ("outbound", "OUTBOUND", "outbound_track", " Outbound ")


class ProviderContract(SignatureContract, WireContract):
    """The contract of a provider, in addition to those of its signatures and its dialect.

    ``arrival`` has the parameters of a first webhook and their meaning, ``redirected`` those of a
    webhook for a call that is up, and ``notices`` the webhooks that need no markup.
    """

    provider: ClassVar[Provider]
    arrival: ClassVar[tuple[dict[str, str], Arrival]]
    redirected: ClassVar[tuple[dict[str, str], Arrival]]
    notices: ClassVar[tuple[tuple[dict[str, str], Notice], ...]]
    parameters: ClassVar[str]
    """Path of the markup's parameters in a start message."""
    ids: ClassVar[str] = ""
    """Path of the ids in a start message, if it has them in one place only."""
    media_format: ClassVar[str]
    rate: ClassVar[str]
    """Path of the format in a start message, and the name of the sample rate in it."""
    media_url: ClassVar[str] = 'wss://voice.example.com/x/REF?a=1&b="<2>"'
    again: ClassVar[str] = "https://voice.example.com/v2/hooks/x/whk_KEY?a=1&b=<2>"

    def new_wire(self) -> Wire:
        return self.provider.wire()

    def hook(self, params: dict[str, str]) -> Webhook:
        return Webhook(tuple(params.items()))

    def begun(self, document: Document) -> list[Event]:
        return self.new_wire().receive(compact(document))

    def heard(self, document: Document) -> list[Event]:
        """Return the events of an audio message; the fast path must agree if it takes it."""
        wire = self.started_wire()
        message = compact(document)
        events = wire.receive(message)
        again = wire.audio(message)
        assert again is None or events == [again]
        return events

    def format_place(self, name: str) -> str:
        return f"{self.media_format}.{name}"

    @pytest.mark.parametrize("sent", REF_SPELLINGS, ids=str)
    def test_the_reference_is_found_in_every_spelling(self, sent: object) -> None:
        assert self.begun(with_value(self.start, self.parameters, sent)) == [self.started]

    @pytest.mark.parametrize("sent", NO_REF, ids=lambda sent: str(sent)[:20])
    def test_a_stream_without_a_reference_starts(self, sent: object) -> None:
        started = replace(self.started, ref=None)
        assert self.begun(with_value(self.start, self.parameters, sent)) == [started]

    @pytest.mark.parametrize("sent", ODD_REF, ids=str)
    def test_a_stream_with_an_unreadable_reference_starts(self, sent: object) -> None:
        started = replace(self.started, ref=None)
        ignored = Ignored(self.parameters.rpartition(".")[2])
        assert self.begun(with_value(self.start, self.parameters, sent)) == [started, ignored]

    def test_a_start_needs_only_its_required_fields(self) -> None:
        """A missing or wrong other field does not change the encoding of the stream."""
        said = ["event", self.ids, *map(self.format_place, ("encoding", self.rate, "channels"))]
        for place, mutant in placed_mutations(self.start):
            if place not in said:
                started, *_ = self.begun(mutant)
                assert isinstance(started, Started), mutant
                assert started.inbound is self.started.inbound

    @pytest.mark.parametrize(
        "half", ["\\ud83d", "\\uDE00", "\\ude00\\ud83d", "\\ud83dx", "\\\\\\ud83d"]
    )
    def test_a_lone_surrogate_in_an_unused_field_is_ignored(self, half: str) -> None:
        message = compact({**self.start, "name": "HALF"}).replace(b"HALF", half.encode())
        assert self.provider.wire().receive(message) == [self.started]

    @pytest.mark.parametrize("value", [None, 0, 7, 1.5, True, [], ["x"], {}], ids=str)
    def test_a_call_id_that_is_not_text_is_ignored(self, value: object) -> None:
        [name] = [key for key, said in self.start["start"].items() if said == self.started.call_id]
        started, *_ = self.begun(with_value(self.start, f"start.{name}", value))
        assert started == replace(self.started, call_id=None)

    @pytest.mark.parametrize(
        "spelling", ["AUDIO/X-MULAW", "PCMU/8000", "audio/PCMU/8000/1", "audio/basic", "G711u"]
    )
    def test_any_spelling_of_an_encoding_is_accepted(self, spelling: str) -> None:
        started, *_ = self.begun(with_value(self.start, self.format_place("encoding"), spelling))
        assert started == self.started

    @pytest.mark.parametrize("start", [{"event": "start"}, {"event": "start", "start": {}}])
    def test_a_start_without_a_stream_is_refused(self, start: Document) -> None:
        with pytest.raises(RefusedStart, match="stream"):
            self.begun(start)

    @pytest.mark.parametrize("rate", EIGHT_KHZ)
    @pytest.mark.parametrize("channels", ONE_CHANNEL)
    def test_any_spelling_of_a_format_is_accepted(self, rate: object, channels: object) -> None:
        start = with_value(self.start, self.format_place(self.rate), rate)
        start = with_value(start, self.format_place("channels"), channels)
        started, *_ = self.begun(start)
        assert started == self.started

    @pytest.mark.parametrize("value", NO_NUMBERS, ids=str)
    def test_an_unreadable_format_is_taken_as_the_requested_one(self, value: object) -> None:
        for name in (self.rate, "channels"):
            start = with_value(self.start, self.format_place(name), value)
            assert self.begun(start) == [self.started, Ignored(name)]

    @pytest.mark.parametrize("rate", [16000, 16000.0, "16000", "16000.0", 24000, 1])
    def test_another_rate_is_refused_in_any_spelling(self, rate: object) -> None:
        with pytest.raises(RemoteError, match="8000 Hz") as refused:
            self.begun(with_value(self.start, self.format_place(self.rate), rate))
        assert refused.value.close_code == 1003

    def test_a_rate_may_be_part_of_the_encoding(self) -> None:
        start = with_value(self.start, self.format_place(self.rate), None)
        place = self.format_place("encoding")
        started, *_ = self.begun(with_value(start, place, "audio/x-mulaw;rate=8000"))
        assert started == self.started
        for spelling in ("audio/x-mulaw; rate=16000", "PCMU/16000"):
            with pytest.raises(RemoteError, match="8000 Hz"):
                self.begun(with_value(start, place, spelling))

    @pytest.mark.parametrize("channels", [2, 2.0, "2"])
    def test_two_channels_are_refused(self, channels: object) -> None:
        with pytest.raises(RemoteError, match="mono"):
            self.begun(with_value(self.start, self.format_place("channels"), channels))

    @pytest.mark.parametrize("track", CALLERS_TRACKS, ids=str)
    def test_the_caller_is_heard_with_any_track_name(self, track: object) -> None:
        document = json.loads(self.frame())
        [audio] = self.heard(with_value(document, "media.track", track))
        assert isinstance(audio, Audio)
        assert audio.payload == FRAME

    @pytest.mark.parametrize("track", OUR_TRACKS)
    def test_our_own_track_is_ignored_and_counted(self, track: str) -> None:
        document = json.loads(self.frame())
        assert self.heard(with_value(document, "media.track", track)) == [Ignored("track")]

    def test_the_fast_path_does_not_learn_our_own_track(self) -> None:
        wire = self.started_wire()
        ours = compact(with_value(json.loads(self.frame()), "media.track", "outbound"))
        for _ in range(200):
            assert wire.audio(ours) is None
            wire.receive(ours)
            wire.receive(self.frame())

    def test_webhooks_are_parsed(self) -> None:
        for params, meaning in (self.arrival, self.redirected, *self.notices):
            assert self.provider.parse(self.hook(params)) == meaning, params

    def test_unknown_parameters_change_nothing(self) -> None:
        params, meaning = self.arrival
        more = {"Event2": "Hangup", **params, "StirVerstat": "x" * 5000}
        assert self.provider.parse(self.hook(more)) == meaning

    def test_a_missing_call_id_is_named(self) -> None:
        params, _ = self.arrival
        name = self.provider.call_id_field
        with pytest.raises(RemoteError, match=f"^{name} is missing"):
            self.provider.parse(self.hook({k: v for k, v in params.items() if k != name}))

    def test_a_webhook_without_numbers_is_a_call(self) -> None:
        params, meaning = self.arrival
        bare = {name: value for name, value in params.items() if name not in ("From", "To")}
        assert self.provider.parse(self.hook(bare)) == replace(meaning, caller="", callee="")

    def test_the_first_of_repeated_fields_is_used(self) -> None:
        params, meaning = self.arrival
        repeated = Webhook((*params.items(), *((name, "second") for name in params)))
        assert self.provider.parse(repeated) == meaning

    @pytest.mark.parametrize("call_id", ["", "x" * 257, "a\nb", "a\x00b", "a\x7fb", "\ud800"])
    def test_an_unusable_call_id_is_refused(self, call_id: str) -> None:
        params, _ = self.arrival
        name = self.provider.call_id_field
        with pytest.raises(RemoteError, match=f"^{name} must be"):
            self.provider.parse(self.hook({**params, name: call_id}))

    def test_long_and_strange_numbers_are_truncated(self) -> None:
        params, _ = self.arrival
        odd = {**params, "From": "sip:\x00" + "ü" * 500, "To": ""}
        arrival = self.provider.parse(self.hook(odd))
        assert isinstance(arrival, Arrival)
        assert arrival.caller == "sip:" + "ü" * 252
        assert arrival.callee == ""

    @pytest.mark.hypothesis
    def test_any_webhook_is_refused_or_parsed(self) -> None:
        names = st.sampled_from([*self.arrival[0], "Event", "CallbackSource", "HangupCause"])

        @given(st.lists(st.tuples(names | st.text(), st.text())))
        def check(params: list[tuple[str, str]]) -> None:
            try:
                said = self.provider.parse(Webhook(tuple(params)))
            except RemoteError:
                return
            assert 0 < len(said.call_id) <= 256

        check()

    def test_the_answer_streams_and_then_redirects(self) -> None:
        root = ElementTree.fromstring(
            self.provider.answer(self.media_url, "REF", self.again).text.encode()
        )
        stream, redirect = root
        assert root.tag == "Response"
        found = [
            *(e.get("url") for e in stream.iter("Stream")),
            *(e.text for e in stream.iter("Stream")),
        ]
        assert found.count(self.media_url) == 1
        assert redirect.tag == "Redirect"
        assert redirect.attrib == {"method": "POST"}
        assert redirect.text == self.again

    def test_the_answer_hangs_up_without_a_redirect_url(self) -> None:
        root = ElementTree.fromstring(self.provider.answer(self.media_url, "REF", None).text)
        assert [element.tag for element in root][1:] == ["Hangup"]

    def test_the_answer_carries_the_reference_twice(self) -> None:
        text = self.provider.answer("wss://voice.example.com/x/REF", "REF", None).text
        assert text.count("REF") == 2

    def test_refusals_differ_for_busy_and_rejected(self) -> None:
        for reason in Refusal:
            [verb] = ElementTree.fromstring(self.provider.refuse(reason).text)
            assert verb.attrib == {"reason": str(reason)}

    def test_a_question_requests_its_action_with_and_without_keys(self) -> None:
        root = ElementTree.fromstring(self.provider.ask('Say "1" & go', 4, self.again).text)
        gather, redirect = root
        assert gather.get("action") == redirect.text == self.again
        assert gather.get("method", "POST") == redirect.get("method") == "POST"
        assert gather.get("numDigits") == "4"
        [said] = gather
        assert (said.tag, said.text) == (self.provider.speak_verb, 'Say "1" & go')

    def test_pressed_keys_are_read_and_may_be_absent(self) -> None:
        params, _ = self.redirected
        for digits in ("0042", ""):
            assert self.provider.digits(self.hook({**params, "Digits": digits})) == digits
        assert self.provider.digits(self.hook(params)) == ""

    def test_a_dismissal_speaks_its_text_and_hangs_up(self) -> None:
        said, hang_up = ElementTree.fromstring(self.provider.dismiss("Bye & <bye>").text)
        assert (said.tag, said.text) == (self.provider.speak_verb, "Bye & <bye>")
        assert (hang_up.tag, hang_up.attrib) == ("Hangup", {})

    def test_hang_up_has_one_verb_and_nothing_has_none(self) -> None:
        [verb] = ElementTree.fromstring(self.provider.hang_up().text)
        assert (verb.tag, verb.attrib) == ("Hangup", {})
        assert len(ElementTree.fromstring(self.provider.nothing().text)) == 0

    def test_markup_has_an_xml_declaration_and_a_content_type(self) -> None:
        for markup in (
            self.provider.answer(self.media_url, "REF", None),
            self.provider.ask("PIN?", 4, self.again),
            self.provider.refuse(Refusal.BUSY),
            self.provider.dismiss("Goodbye."),
            self.provider.hang_up(),
            self.provider.nothing(),
        ):
            assert markup.text.startswith('<?xml version="1.0" encoding="UTF-8"?><Response')
            assert markup.content_type == "text/xml; charset=utf-8"

    def test_no_message_is_sent_before_the_start(self) -> None:
        wire = self.new_wire()
        for command, _ in self.encoded:
            assert wire.send(command) == []

    def test_messages_that_a_phone_cannot_receive_are_not_sent(self) -> None:
        wire = self.started_wire()
        assert wire.send(Message("CHAT", {"message": "hi"})) == []

    def test_wires_share_no_state(self) -> None:
        first, second = self.new_wire(), self.new_wire()
        first.receive(compact(self.start))
        assert second.send(Flush()) == []
        assert second.receive(compact(self.start)) == [self.started]

    def test_an_encoding_that_cannot_be_decoded_closes_with_1003(self) -> None:
        section = self.start["start"]
        [name] = [key for key in section if key.lower().replace("_", "") == "mediaformat"]
        rate = next(key for key in section[name] if "ate" in key)
        for change in ({"encoding": "opus"}, {rate: 16000}, {rate: "24000"}, {"channels": 2}):
            start = copy.deepcopy(self.start)
            start["start"][name].update(change)
            with pytest.raises(RemoteError, match="encoding must be") as caught:
                self.new_wire().receive(compact(start))
            assert caught.value.close_code == 1003

    def test_numbers_may_be_written_as_strings(self) -> None:
        start = json.loads(compact(self.start).replace(b":8000", b':"8000"'))
        assert start != self.start
        assert self.new_wire().receive(compact(start)) == [self.started]

    def test_a_fence_and_its_acknowledgement_carry_the_same_name(self) -> None:
        [message] = self.started_wire().send(Fence('a"b\\ü'))
        said = json.loads(message)
        assert 'a"b\\ü' in (said.get("name"), said.get("mark", {}).get("name"))
