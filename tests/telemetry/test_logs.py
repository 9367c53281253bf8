"""Log lines, and the redaction of secrets."""

from __future__ import annotations

import logging
import sys

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain import ids
from service.security import access_tokens
from service.telemetry import logs

KEY = "whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu"
REF = "Nf5tQ8wLz2XcR7vKb4MjH9pGs6DyA3eU"
INGEST_REF = "vs_k3x9m2p7q4w8z1r6t5b0"
TOKEN = access_tokens.mint("key", "s" * 32, 1_782_052_245_123)

pytestmark = pytest.mark.usefixtures("root_logger")


def encoded(text: str) -> str:
    """``text`` with every character percent-encoded, as any client may send it."""
    return "".join(f"%{ord(character):02x}" for character in text)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            f'"POST /v2/hooks/twilio/{KEY} HTTP/1.1" 200',
            '"POST /v2/hooks/twilio/whk_*** HTTP/1.1" 200',
        ),
        (f"GET /twilio/{REF} HTTP/1.1", "GET /twilio/*** HTTP/1.1"),
        (f"GET /some-new-provider/{REF}/?x=1", "GET /some-new-provider/***/?x=1"),
        (f"https%3A%2F%2Fhost%2Fplivo%2F{REF}", "https%3A%2F%2Fhost%2Fplivo%2F***"),
        (f'<Parameter name="x" value="{REF}"/>', '<Parameter name="x" value="***"/>'),
        (f"/videosdk?ref={INGEST_REF}", "/videosdk?ref=***"),
        (f"/videosdk?a=1&ref={REF}&b=2", "/videosdk?a=1&ref=***&b=2"),
        (f"ref%3D{REF}%26", "ref%3D***"),
        ("ref=short&b=2", "ref=***&b=2"),
        ('{"ref": "short"}', '{"ref": "***"}'),
        (r"{\"ref\":\"short\"}", r"{\"ref\":\"***\"}"),
        (f"sent {INGEST_REF}.", "sent vs_***."),
        (f"?token={TOKEN}&x=1", "?token=***&x=1"),
        (f"token%3D{TOKEN}", "token%3D***"),
        ("GET /v2/connectors?Token=opaque&x=1", "GET /v2/connectors?Token=***&x=1"),
        ("?url=https%3A%2F%2Fhost%2F%3Ftoken%3Dopaque", "?url=https%3A%2F%2Fhost%2F%3Ftoken%3D***"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic ***"),
        ("{'Authorization': 'opaque-value'}", "{'Authorization': '***'}"),
        ("('Authorization', 'opaque-value')", "('Authorization', '***')"),
        (r"{\"authorization\":\"Bearer opaque\"}", r"{\"authorization\":\"Bearer ***\"}"),
        ("postgresql://user:pa55@host/name", "postgresql://user:***@host/name"),
        (f"{KEY} and {KEY}", "whk_*** and whk_***"),
        (f"/hooks/twilio/{KEY.replace('_', '%5F')}?x=1", "/hooks/twilio/***?x=1"),
        (f"/hooks/twilio/{KEY.replace('k', '%6b')}/", "/hooks/twilio/***/"),
        (f"/telnyx/{encoded(REF)} HTTP/1.1", "/telnyx/*** HTTP/1.1"),
        (f"/videosdk?x={encoded(INGEST_REF)}", "/videosdk?x=***"),
        (f"http%3A%2F%2Fhost%2F{KEY.replace('_', '%5f')}", "http%3A%2F%2Fhost%***"),
    ],
)
def test_redact_hides_secrets_in_every_context(text: str, redacted: str) -> None:
    assert logs.redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "GET /v2/connectors/cn_a7k2m9x5p3q8r1v0 HTTP/1.1",
        "CallSid CA0123456789abcdef0123456789abcdef",
        "call 7c9e6679-7425-40de-944b-e07fc1f90ae7 in room abcd-efgh-ijkl",
        "request 0123456789abcdef0123456789abcdef",
        "session 0123456789abcdef01234567",
        "Authorization header is missing: send your token in it.",
        "The reference has expired; a preference: none.",
        "connected to http://127.0.0.1:8000/v2 from me@example.com",
        "12:30:45 listening",
        "GET /rooms/%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82-%D0%BC%D0%B8%D1%80 HTTP/1.1",
        "next=https%3A%2F%2Fvoice-of-a-long-name.example.com%2Fv2%2Fconnectors",
    ],
)
def test_redact_keeps_ids_and_plain_text(text: str) -> None:
    assert logs.redact(text) == text


@given(before=st.text(max_size=30), after=st.text(max_size=30))
@example(before="x", after="")
@example(before="", after="-")
def test_redact_finds_prefixed_secrets_in_any_text(before: str, after: str) -> None:
    for secret in (KEY, INGEST_REF, TOKEN):
        assert secret not in logs.redact(before + secret + after)


def test_redact_hides_new_references() -> None:
    for _ in range(1000):
        assert logs.redact(f"/telnyx/{ids.new_ref()}") == "/telnyx/***"
        assert logs.redact(f"/x/{ids.new_ingest_ref()}") == "/x/vs_***"
        assert logs.redact(f"/x/{ids.new_webhook_key()}") == "/x/whk_***"


@given(st.text(alphabet="eyJ.:/@refauthoizn= %23DF\\\"'Aa0", max_size=400))
def test_redact_is_idempotent(text: str) -> None:
    once = logs.redact(text)
    assert logs.redact(once) == once


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    logger = logging.getLogger("service.calls.ending")
    made = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, args, None, extra=extra
    )
    made.created = 1_782_052_245.123
    return made


def failing(secret: str) -> logging.LogRecord:
    made = record("It broke.")
    try:
        raise ValueError(f"near {secret}")
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


def test_text_is_one_line_with_time_level_logger_and_extra_fields() -> None:
    line = logs.formatter("text").format(record("Call %s ended.", "c1", reason="busy", frames=7))
    assert line == (
        "2026-06-21T14:30:45.123Z WARNING service.calls.ending: Call c1 ended. reason=busy frames=7"
    )


def test_text_indents_continuation_lines() -> None:
    line = logs.formatter("text").format(record("a\n2026 INFO root: forged\r\x1b[2J\x9b2Jb"))
    assert line.endswith(": a\n    2026 INFO root: forged\\x0d\\x1b[2J\\x9b2Jb")


def test_json_is_one_object_with_the_extra_fields() -> None:
    made = record("Call %s ended.", "c1", reason="busy", stats={"level": float("-inf")}, level="x")
    assert orjson.loads(logs.formatter("json").format(made)) == {
        "time": "2026-06-21T14:30:45.123Z",
        "level": "warning",
        "logger": "service.calls.ending",
        "message": "Call c1 ended.",
        "reason": "busy",
        "stats": {"level": None},
    }


@pytest.mark.parametrize("value", ["\ud800", 1 << 70, object(), {1: 2}, b"\xff", {"a": "\udfff"}])
def test_json_writes_a_line_for_every_value(value: object) -> None:
    line = logs.formatter("json").format(record("kept", strange=value))
    assert "kept" in orjson.loads(line)["message"]


@pytest.mark.parametrize("fmt", ["text", "json"])
@pytest.mark.parametrize("secret", [KEY, REF, INGEST_REF, TOKEN])
def test_no_format_shows_secrets_of_message_field_or_exception(fmt: str, secret: str) -> None:
    formatter = logs.formatter(fmt)
    for made in (
        record(secret),
        record("%s", secret),
        record("x", y={"z": secret}),
        failing(secret),
    ):
        line = formatter.format(made)
        assert secret not in line
        assert "***" in line


def test_exceptions_keep_their_traceback() -> None:
    assert 'raise ValueError(f"near {secret}")' in logs.formatter("text").format(failing("x"))
    fields = orjson.loads(logs.formatter("json").format(failing("x")))
    assert fields["exception"].endswith("ValueError: near x")


def test_configure_twice_prints_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logs.configure("info", "json")
    logging.getLogger("service.calls.ending").info("Hello.")
    out, err = capsys.readouterr()
    assert out == ""
    assert [orjson.loads(line)["message"] for line in err.splitlines()] == ["Hello."]


def test_every_line_names_the_node_where_there_are_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = logging.getLogger("service.calls.ending")
    logs.configure("info", "json", "n1")
    logger.info("Hello.")
    logger.info("About another one.", extra={"node": "n2"})
    logs.configure("info", "text", "n1")
    logger.info("Hello.")
    logs.configure("info", "text")
    logger.info("Alone.")
    own, other, text, alone = capsys.readouterr().err.splitlines()
    assert [orjson.loads(line)["node"] for line in (own, other)] == ["n1", "n2"]
    assert text.endswith(": Hello. node=n1")
    assert alone.endswith(": Alone.")


def test_configure_leaves_other_handlers_in_place() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    logs.configure("info", "text")
    assert other in logging.getLogger().handlers


def test_configure_drops_lines_below_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "text")
    logging.getLogger("service.calls.ending").info("Small talk.")
    logging.getLogger("service.calls.ending").warning("News.")
    assert "News." in (err := capsys.readouterr().err)
    assert "Small talk." not in err


def test_a_line_about_a_call_has_its_ids_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logger = logging.getLogger("service.calls.ending")
    logger.info("Over.", extra=logs.about("call-1", "abcd-efgh-ijkl"))
    logger.info("Over.", extra=logs.about("call-1", leg_id="leg-1"))
    first, second = map(orjson.loads, capsys.readouterr().err.splitlines())
    assert (first["call_id"], first["room_id"]) == ("call-1", "abcd-efgh-ijkl")
    assert (second["call_id"], second["leg_id"]) == ("call-1", "leg-1")
    assert "room_id" not in second


def test_only_lines_of_a_request_have_a_request_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json")
    logger = logging.getLogger("service.calls.ending")
    token = logs.REQUEST_ID.set("request-1")
    logger.info("During.")
    logger.info("Named.", extra={"request_id": "another"})
    logs.REQUEST_ID.reset(token)
    logger.info("After.")
    lines = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("request_id") for line in lines] == ["request-1", "another", None]


def test_last_warnings_are_kept_without_secrets() -> None:
    troubles = logs.configure("info", "text")
    logger = logging.getLogger("service.calls.ending")
    logger.info("Small talk.")
    logger.warning("refused %s", KEY, extra=logs.about("call-1"))
    try:
        raise LookupError(KEY)
    except LookupError:
        logger.exception("x" * 2 * logs.LONGEST)
    last, first = troubles.last()
    assert (first.level, first.message, first.call_id) == ("warning", "refused whk_***", "call-1")
    assert (last.level, last.error, len(last.message)) == ("error", "LookupError", logs.LONGEST)


def test_number_of_kept_warnings_is_bounded() -> None:
    troubles = logs.configure("info", "text")
    for number in range(logs.KEPT + 3):
        logging.getLogger("service.calls.ending").warning("number %d", number)
    assert len(troubles.last()) == logs.KEPT
    assert troubles.last()[0].message == f"number {logs.KEPT + 2}"


def test_lines_of_one_kind_displace_no_others() -> None:
    troubles = logs.configure("info", "text")
    logging.getLogger("service.storage").error("the database is %s", "away")
    logging.getLogger("service.web").warning("busy: %s", "all calls are taken")
    for number in range(2 * logs.KEPT):
        logging.getLogger("service.web").warning("forged: %s", number)
    logging.getLogger("service.media").warning("a leg is late")
    kept = [each.message for each in troubles.last()]
    assert len(kept) == logs.KEPT
    assert kept[:2] == ["a leg is late", f"forged: {2 * logs.KEPT - 1}"]
    assert kept[-2:] == ["busy: all calls are taken", "the database is away"]


def test_the_oldest_line_is_displaced_where_all_are_of_different_kinds() -> None:
    troubles = logs.configure("info", "text")
    for number in range(logs.KEPT + 1):
        logging.getLogger(f"service.{number}").warning("late")
    assert [each.logger for each in troubles.last()][-1] == "service.1"


def test_a_template_has_no_secrets() -> None:
    troubles = logs.configure("info", "text")
    logging.getLogger("service").warning(f"refused {KEY}")
    assert troubles.last()[0].template == "refused whk_***"


def test_excerpt_of_a_message_shows_nothing_private() -> None:
    ref, audio = "aB3" * 10 + "xY", "q6ur" * 100
    message = f'{{"event":"media","ref":"{ref}","from":"+14155550100","payload":"{audio}"}}'
    shown = logs.excerpt(message.encode())
    assert shown == '{"event":"media","ref":"***","from":"+***","payload":"***"}'
    assert len(logs.excerpt(b"{\xff" * 5000)) == logs.EXCERPT
