"""Where a request ends, however it is cut into pieces; gunicorn's own parser is the judge."""

from __future__ import annotations

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from hypothesis import given
from hypothesis import strategies as st

from service.framing import MAX_BODY, MAX_HEAD, Arriving, Standing

HEAD = b"POST /v2/hooks/twilio/whk_1 HTTP/1.1\r\nHost: x\r\n"

WHOLE = {
    "no body": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no header": b"GET / HTTP/1.1\r\n\r\n",
    "an empty line before it": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty body": HEAD + b"Content-Length: 0\r\n\r\n",
    "a body": HEAD + b"Content-Length: 11\r\n\r\nCallSid=CA1",
    "a body with an empty line": HEAD + b"content-length:8\r\nX: y\r\n\r\na\r\n\r\nb\r\n",
    "chunks": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    "a chunk like an end": HEAD + b"Transfer-Encoding: Chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "trailers": HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ: z\r\n\r\n",
}


def fed(*pieces: bytes) -> Standing:
    arriving = Arriving()
    standing = Standing.PART
    for piece in pieces:
        assert standing is Standing.PART
        standing = arriving.feed(piece)
    assert arriving.data == b"".join(pieces)
    return standing


def taken(data: bytes) -> int:
    """How many bytes gunicorn's parser takes for the first request of ``data``."""
    parser = get_parser(Config(), iter([data]), ("192.0.2.1", 1))
    next(parser).body.read()
    return len(data) - len(parser.unreader.buf.getvalue())


@pytest.mark.parametrize("request_", WHOLE.values(), ids=WHOLE)
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_: bytes) -> None:
    arriving = Arriving()
    for place in range(len(request_) - 1):
        assert arriving.feed(request_[place : place + 1]) is Standing.PART
    assert arriving.feed(request_[-1:]) is Standing.WHOLE
    assert taken(request_ + b"GET /next HTTP/1.1\r\n\r\n") == len(request_)


@pytest.mark.parametrize("request_", WHOLE.values(), ids=WHOLE)
def test_what_follows_a_request_belongs_to_the_next_one(request_: bytes) -> None:
    assert fed(request_ + b"GET /next HT") is Standing.WHOLE


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=4), st.data())
def test_chunks_end_where_the_parser_says_however_they_are_cut(
    chunks: list[bytes], data: st.DataObject
) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    request_ = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body
    cut = data.draw(st.integers(0, len(request_) - 1))
    assert fed(request_[:cut]) is Standing.PART
    assert fed(request_[:cut], request_[cut:]) is Standing.WHOLE
    assert taken(request_ + b"more") == len(request_)


@given(st.lists(st.binary(max_size=40)))
def test_nothing_that_comes_breaks_it(pieces: list[bytes]) -> None:
    arriving = Arriving()
    for piece in [HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *pieces]:
        assert arriving.feed(piece) in Standing


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.0\n\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: many\r\n\r\n",
    ],
)
def test_what_makes_no_sense_is_there_for_the_parser_to_refuse(request_: bytes) -> None:
    assert fed(request_) is Standing.WHOLE


def test_a_head_without_an_end_is_given_up() -> None:
    line = b"X: " + b"x" * 1000 + b"\r\n"
    arriving, standing = Arriving(), Standing.PART
    while standing is Standing.PART:
        standing = arriving.feed(line)
    assert standing is Standing.ENDLESS
    assert len(arriving.data) <= MAX_HEAD + len(line)


def test_a_large_body_is_not_waited_for() -> None:
    assert fed(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY) is Standing.PART
    assert fed(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1)) is Standing.HEAD


@pytest.mark.parametrize("size", [b"20001\r\n", b"1\r\na\r\n" * 30_000, b"1;" + b"x" * MAX_BODY])
def test_large_chunks_are_not_waited_for(size: bytes) -> None:
    arriving, standing = Arriving(), Standing.PART
    for piece in (HEAD, b"Transfer-Encoding: chunked\r\n\r\n", size):
        assert standing is Standing.PART
        standing = arriving.feed(piece)
    assert standing is Standing.HEAD


def test_whoever_waits_to_be_asked_for_a_body_is_not_waited_for() -> None:
    head = HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    assert fed(head) is Standing.HEAD
    assert fed(head + b"abc") is Standing.WHOLE
