"""Call keys: call id, verification and redaction."""

from __future__ import annotations

import re

import pytest

from service.domain.ids import new_call_id, pseudonym
from service.security.call_keys import call_id_of, is_genuine, key_of
from service.telemetry.logs import redact

CALL = "0c0ffee0-1234-4abc-8def-0123456789ab"
KEY = key_of("secret", CALL)


def test_key_contains_its_call_id_and_is_genuine_under_its_secret_only() -> None:
    assert re.fullmatch(r"clk_[0-9a-f]{32}_" + CALL, KEY)
    assert call_id_of(KEY) == CALL
    assert is_genuine(KEY, "secret")
    assert is_genuine(KEY, "new", "secret")
    assert not is_genuine(KEY, "another")
    assert not is_genuine(KEY, "another", "third")
    assert key_of("secret", new_call_id()) != KEY


@pytest.mark.parametrize(
    "wrong",
    [
        key_of("secret", CALL.upper()).replace(CALL.upper(), CALL),
        KEY.replace(CALL, "6a894e76-243a-4bcd-a994-b2fa0c6fd3e5"),
        KEY[:-1],
        KEY.upper(),
        KEY + "0",
        f"clk_{'0' * 32}_{CALL}",
        f"clk__{CALL}",
        f"clk_{CALL}",
        KEY.replace("clk_", "whk_"),
        "whk_44hZfTwhXIo4RXHpsa4wf1PHNX8DxqZt",
        "",
        f"{KEY}\n",
    ],
)
def test_other_text_is_not_genuine(wrong: str) -> None:
    assert not is_genuine(wrong, "secret", "previous")


def test_pseudonym_reveals_nothing_about_a_key() -> None:
    for text in (CALL, f"call key {CALL}", f"call key\0{CALL}"):
        assert pseudonym("secret", text)[:8] not in KEY


@pytest.mark.parametrize("form", ["{}", "/v2/hooks/twilio/{}/dial?a=1", '{{"url": "x/{}"}}'])
def test_log_shows_the_call_id_of_a_key_and_not_the_secret(form: str) -> None:
    assert redact(form.format(KEY)) == form.format(f"clk_***_{CALL}")


def test_log_hides_percent_encoded_keys() -> None:
    assert KEY[4:36] not in redact(f"/v2/hooks/twilio/{KEY.replace('_', '%5F')}")
    assert "***" in redact(f"/v2/hooks/twilio/{KEY.replace('c', '%63', 1)}")
