"""What every phone provider must do, whoever the vendor is.

A test class inherits ``ProviderContract`` and fills in the class attributes with the webhooks and
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
from signature_contract import SignatureContract
from wire_contract import WireContract, compact, fuzz

from service.errors import RemoteError
from service.model import Refusal
from service.providers.base import Arrival, Notice, Provider, Webhook
from service.wire import Fence, Flush, Message, Wire


class ProviderContract(SignatureContract, WireContract):
    """The laws of a provider, on top of those of its signatures and its dialect.

    ``arrival`` are the parameters of a first webhook and what they mean, ``redirected`` those of
    one for a call that is up, and ``notices`` all that wants no markup.
    """

    provider: ClassVar[Provider]
    arrival: ClassVar[tuple[dict[str, str], Arrival]]
    redirected: ClassVar[tuple[dict[str, str], Arrival]]
    notices: ClassVar[tuple[tuple[dict[str, str], Notice], ...]]
    media_url: ClassVar[str] = 'wss://voice.example.com/x/REF?a=1&b="<2>"'
    again: ClassVar[str] = "https://voice.example.com/v2/hooks/x/whk_KEY?a=1&b=<2>"

    def new_wire(self) -> Wire:
        return self.provider.wire()

    def hook(self, params: dict[str, str]) -> Webhook:
        return Webhook(tuple(params.items()))

    def test_webhooks_are_understood(self) -> None:
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

    def test_a_call_from_nobody_to_nobody_is_a_call(self) -> None:
        params, meaning = self.arrival
        bare = {name: value for name, value in params.items() if name not in ("From", "To")}
        assert self.provider.parse(self.hook(bare)) == replace(meaning, caller="", callee="")

    def test_the_first_of_repeated_fields_counts(self) -> None:
        params, meaning = self.arrival
        repeated = Webhook((*params.items(), *((name, "second") for name in params)))
        assert self.provider.parse(repeated) == meaning

    @pytest.mark.parametrize("call_id", ["", "x" * 257, "a\nb", "a\x00b", "a\x7fb", "\ud800"])
    def test_an_unusable_call_id_is_refused(self, call_id: str) -> None:
        params, _ = self.arrival
        name = self.provider.call_id_field
        with pytest.raises(RemoteError, match=f"^{name} must be"):
            self.provider.parse(self.hook({**params, name: call_id}))

    def test_long_and_strange_numbers_are_cut(self) -> None:
        params, _ = self.arrival
        odd = {**params, "From": "sip:\x00" + "ü" * 500, "To": ""}
        arrival = self.provider.parse(self.hook(odd))
        assert isinstance(arrival, Arrival)
        assert arrival.caller == "sip:" + "ü" * 252
        assert arrival.callee == ""

    def test_any_webhook_is_refused_or_understood(self) -> None:
        names = st.sampled_from([*self.arrival[0], "Event", "CallbackSource", "HangupCause"])

        @fuzz
        @given(st.lists(st.tuples(names | st.text(), st.text())))
        def check(params: list[tuple[str, str]]) -> None:
            try:
                said = self.provider.parse(Webhook(tuple(params)))
            except RemoteError:
                return
            assert 0 < len(said.call_id) <= 256

        check()

    def test_the_answer_streams_and_then_asks_again(self) -> None:
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

    def test_the_answer_hangs_up_where_nothing_is_to_be_asked_again(self) -> None:
        root = ElementTree.fromstring(self.provider.answer(self.media_url, "REF", None).text)
        assert [element.tag for element in root][1:] == ["Hangup"]

    def test_the_answer_carries_the_reference_twice(self) -> None:
        text = self.provider.answer("wss://voice.example.com/x/REF", "REF", None).text
        assert text.count("REF") == 2

    def test_refusals_differ_for_busy_and_rejected(self) -> None:
        for reason in Refusal:
            [verb] = ElementTree.fromstring(self.provider.refuse(reason).text)
            assert verb.attrib == {"reason": str(reason)}

    def test_a_question_leads_to_its_action_with_and_without_keys(self) -> None:
        root = ElementTree.fromstring(self.provider.ask('Say "1" & go', 4, self.again).text)
        gather, redirect = root
        assert gather.get("action") == redirect.text == self.again
        assert gather.get("method", "POST") == redirect.get("method") == "POST"
        assert gather.get("numDigits") == "4"
        [said] = gather
        assert (said.tag, said.text) == (self.provider.speak_verb, 'Say "1" & go')

    def test_pressed_keys_are_read_and_no_keys_are_none(self) -> None:
        params, _ = self.redirected
        for digits in ("0042", ""):
            assert self.provider.digits(self.hook({**params, "Digits": digits})) == digits
        assert self.provider.digits(self.hook(params)) == ""

    def test_a_dismissal_says_why_and_hangs_up(self) -> None:
        said, hang_up = ElementTree.fromstring(self.provider.dismiss("Bye & <bye>").text)
        assert (said.tag, said.text) == (self.provider.speak_verb, "Bye & <bye>")
        assert (hang_up.tag, hang_up.attrib) == ("Hangup", {})

    def test_hang_up_hangs_up_and_nothing_does_nothing(self) -> None:
        [verb] = ElementTree.fromstring(self.provider.hang_up().text)
        assert (verb.tag, verb.attrib) == ("Hangup", {})
        assert len(ElementTree.fromstring(self.provider.nothing().text)) == 0

    def test_markup_declares_itself(self) -> None:
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

    def test_nothing_is_said_before_the_start(self) -> None:
        wire = self.new_wire()
        for command, _ in self.encoded:
            assert wire.send(command) == []

    def test_what_a_phone_cannot_be_told_is_not_said(self) -> None:
        wire = self.started_wire()
        assert wire.send(Message("CHAT", {"message": "hi"})) == []

    def test_each_wire_stands_alone(self) -> None:
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
