"""Contract tests of every provider's signature check.

A test class inherits ``SignatureContract`` through ``ProviderContract`` and signs as its vendor
does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clock import Millis
from service.errors import BadSignature
from service.providers.base.provider import Arrival, Provider, Webhook
from service.providers.base.signatures import Secrets, Use

Pairs = tuple[tuple[str, str], ...]


class SignatureContract(ABC):
    """The contract of credentials and signatures.

    ``secrets`` are a connector's credentials for checking its requests, and ``other_secrets`` those
    of another connector. ``signed_hook`` signs as the provider does, with ``secrets`` at the time
    ``signed_at``. ``signed_parts`` names which of ``url``, ``form`` and ``body`` the signature
    covers, ``signature_headers`` the headers that it needs, and ``tolerance`` the seconds for which
    it is valid, if it has a timestamp. ``good_values`` and ``bad_values`` are values of credentials
    by name.
    """

    provider: ClassVar[Provider]
    arrival: ClassVar[tuple[dict[str, str], Arrival]]
    secrets: ClassVar[Secrets]
    other_secrets: ClassVar[Secrets]
    signed_at: ClassVar[Millis] = 1_735_689_600_000
    signed_parts: ClassVar[frozenset[str]]
    signature_headers: ClassVar[frozenset[str]]
    tolerance: ClassVar[int | None] = None
    good_values: ClassVar[tuple[tuple[str, str], ...]]
    bad_values: ClassVar[tuple[tuple[str, str], ...]]

    @abstractmethod
    def signed_hook(self, url: str, form: Pairs) -> Webhook: ...

    @abstractmethod
    def upgrade(self, url: str) -> Webhook:
        """Return a WebSocket upgrade as the provider sends it, signed if it signs upgrades."""

    def verify(self, hook: Webhook, secrets: Secrets | None = None) -> None:
        self.provider.verify(hook, self.secrets if secrets is None else secrets, self.signed_at)

    def a_signed_hook(self) -> Webhook:
        params, _ = self.arrival
        form = (*params.items(), ("Twice", "2"), ("Twice", "1"), ("Blank", ""))
        return self.signed_hook("https://voice.example.com/v2/hooks/x/whk_KEY", form)

    def test_a_request_signed_by_the_provider_is_accepted(self) -> None:
        hook = self.a_signed_hook()
        self.verify(hook)
        self.verify(replace(hook, headers={k.lower(): v for k, v in hook.headers.items()}))
        self.verify(replace(hook, headers={k.upper(): v for k, v in hook.headers.items()}))

    def test_requests_are_accepted_without_a_secret_to_check_with(self) -> None:
        params, _ = self.arrival
        self.verify(self.hook(params), {})
        checked = {c.name for c in self.provider.credentials if Use.SIGNATURES in c.uses}
        assert self.secrets.keys() >= checked
        assert checked

    def test_both_of_two_secrets_are_accepted_and_no_other(self) -> None:
        hook = self.a_signed_hook()
        for first, second in (
            (self.secrets, self.other_secrets),
            (self.other_secrets, self.secrets),
        ):
            self.verify(hook, {name: first[name] + second[name] for name in self.secrets})
        with pytest.raises(BadSignature):
            self.verify(hook, self.other_secrets)

    def test_each_header_of_the_signature_is_needed(self) -> None:
        hook = self.a_signed_hook()
        for name in self.signature_headers:
            assert name in hook.headers
            without = {key: value for key, value in hook.headers.items() if key != name}
            for headers in (without, {**without, name: ""}, {**without, name: "x"}):
                with pytest.raises(BadSignature):
                    self.verify(replace(hook, headers=headers))

    def test_a_change_of_any_signed_part_is_refused(self) -> None:
        hook = self.a_signed_hook()
        for part, changed in self._changed(hook):
            if part in self.signed_parts:
                with pytest.raises(BadSignature):
                    self.verify(changed)

    def _changed(self, hook: Webhook) -> Iterator[tuple[str, Webhook]]:
        yield "url", replace(hook, url=hook.url.replace("https", "http"))
        yield "url", replace(hook, url=hook.url.replace("voice.", "voice2."))
        yield "url", replace(hook, url=hook.url + "/")
        yield "url", replace(hook, url=hook.url + "?a=1")
        for place in range(len(hook.form)):
            name, value = hook.form[place]
            rest = hook.form[:place], hook.form[place + 1 :]
            yield "form", replace(hook, form=(*rest[0], *rest[1]))
            yield "form", replace(hook, form=(*rest[0], (name, value + "x"), *rest[1]))
            yield "form", replace(hook, form=(*rest[0], (name + "x", value), *rest[1]))
        yield "form", replace(hook, form=(*hook.form, ("Digits", "1")))
        for place in range(len(hook.body)):
            flipped = bytes((*hook.body[:place], hook.body[place] ^ 1, *hook.body[place + 1 :]))
            yield "body", replace(hook, body=flipped)
        yield "body", replace(hook, body=hook.body + b" ")

    def test_a_signature_is_valid_within_its_tolerance(self) -> None:
        hook = self.a_signed_hook()
        longest = 10**8 if self.tolerance is None else self.tolerance
        for seconds in (-longest, 0, longest):
            self.provider.verify(hook, self.secrets, self.signed_at + seconds * 1000)
        if self.tolerance is not None:
            for seconds in (-longest - 1, longest + 1):
                with pytest.raises(BadSignature):
                    self.provider.verify(hook, self.secrets, self.signed_at + seconds * 1000)

    def test_an_upgrade_is_checked_if_the_provider_signs_it(self) -> None:
        url = "wss://voice.example.com/x/REF"
        sent, bare = self.upgrade(url), Webhook(url=url, method="GET")
        self.verify(sent)
        assert self.provider.signs_upgrades is (sent != bare)
        if not self.provider.signs_upgrades:
            return
        for wrong in (bare, replace(sent, url=url.replace("REF", "OTHER"))):
            with pytest.raises(BadSignature):
                self.verify(wrong)
        with pytest.raises(BadSignature):
            self.verify(sent, self.other_secrets)

    def test_a_lone_surrogate_in_a_signed_part_is_refused(self) -> None:
        hook = self.a_signed_hook()
        for part, changed in (
            ("url", replace(hook, url=hook.url + "?a=\ud800")),
            ("form", replace(hook, form=(*hook.form, ("\ud800", "\udfff")))),
        ):
            if part in self.signed_parts:
                with pytest.raises(BadSignature):
                    self.verify(changed)

    @pytest.mark.hypothesis
    def test_any_invented_signature_is_refused(self) -> None:
        hook = self.a_signed_hook()
        names = sorted(self.signature_headers)
        texts = st.text(st.characters(max_codepoint=255))

        @given(st.fixed_dictionaries(dict.fromkeys(names, texts)), st.text(), st.text())
        def check(headers: dict[str, str], name: str, value: str) -> None:
            with pytest.raises(BadSignature):
                self.verify(replace(hook, form=((name, value),), headers=headers))

        check()

    def test_credentials_have_a_shape(self) -> None:
        offered = {credential.name: credential for credential in self.provider.credentials}
        assert offered.keys() >= self.secrets.keys()
        for name, value in self.good_values:
            assert offered[name].shape.fullmatch(value), (name, value)
        for name, value in self.bad_values:
            assert not offered[name].shape.fullmatch(value), (name, value)
        for credential in offered.values():
            assert credential.expected.startswith("must be ")
