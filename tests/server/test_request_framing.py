"""The end of an HTTP request in any pieces, compared with gunicorn's reader."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import errors, get_parser
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import given
from hypothesis import strategies as st

from service.console import simulated_calls
from service.server import request_framing, worker
from service.server.refusals import Refused
from service.server.request_framing import (
    MAX_CHUNK_LINE,
    MAX_CHUNK_OVERHEAD,
    MAX_HEAD,
    MAX_LINE,
    Incoming,
)
from service.web import validation

HEAD = b"POST /v2/hooks/twilio/whk_1 HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n\r\n"
LIMIT, LARGEST = 100, 1000
PEER = ("192.0.2.1", 1)

COMPLETE = {
    "no body": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no header": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "an empty line before it": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty body": HEAD + b"Content-Length: 0\r\n\r\n",
    "a body": HEAD + b"Content-Length: 11\r\n\r\nCallSid=CA1",
    "a length with a zero before it": HEAD + b"Content-Length: 03\r\n\r\nabc",
    "a body with an empty line": HEAD + b"content-length:8\r\nX: y\r\n\r\na\r\n\r\nb\r\n",
    "chunks": CHUNKED + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    "a chunk's size with zeros before it": CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n",
    "a chunk's size with white space": CHUNKED + b'3 \t; x="a;b"\r\nabc\r\n0;y\r\n\r\n',
    "a chunk like an end": CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"1\r\na\r\n0\r\nX: y\r\nZ: z\r\n\r\n",
    "an upgrade": b"GET /videosdk?ref=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
}

REFUSED = {
    "a bare LF": (400, b"GET / HTTP/1.0\n\n"),
    "a bare LF before the end": (400, b"GET / HTTP/1.1\r\nX: y\n\r\n"),
    "two empty lines": (400, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    "two lengths": (400, HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, HEAD + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a negative length": (400, HEAD + b"Content-Length: -5\r\n\r\n"),
    "a signed length": (400, HEAD + b"Content-Length: +5\r\n\r\nabcde"),
    "a length in words": (400, HEAD + b"Content-Length: many\r\n\r\n"),
    "a length of other digits": (400, HEAD + b"Content-Length: \xb2\r\n\r\nab"),
    "a length and chunks": (400, CHUNKED[:-2] + b"Content-Length: 3\r\n\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": (400, CHUNKED.replace(b"/1.1", b"/1.0") + b"0\r\n\r\n"),
    "chunked twice": (400, HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "chunked and more": (400, HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "not chunked at the end": (400, HEAD + b"Transfer-Encoding: gzip\r\n\r\n"),
    "an unknown coding": (501, HEAD + b"Transfer-Encoding: xchunked\r\n\r\n"),
    "a space before a colon": (400, HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    "a folded line": (400, HEAD + b"X: y\r\n Content-Length: 3\r\n\r\nabc"),
    "a NUL in a value": (400, HEAD + b"X: \0\r\n\r\n"),
    "a CR in a value": (400, HEAD + b"X: a\rContent-Length: 3\r\n\r\nabc"),
    "two hosts": (400, HEAD + b"Host: y\r\n\r\n"),
    "another expectation": (417, HEAD + b"Expect: a pony\r\n\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "a method in lower case": (400, b"get / HTTP/1.1\r\n\r\n"),
    "no size": (400, CHUNKED + b"no size\r\n"),
    "a negative size": (400, CHUNKED + b"-5\r\n"),
    "a size in C's notation": (400, CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "a size with an underscore": (400, CHUNKED + b"1_0\r\n"),
    "an empty size": (400, CHUNKED + b"\r\n\r\n"),
    "a space after a size": (400, CHUNKED + b"5 \r\nabcde\r\n0\r\n\r\n"),
    "a space before a size": (400, CHUNKED + b" 5\r\nabcde\r\n0\r\n\r\n"),
    "a size of 17 digits": (400, CHUNKED + b"0" * 16 + b"5\r\nabcde\r\n0\r\n\r\n"),
    "a bad extension": (400, CHUNKED + b"5;=\r\nabcde\r\n0\r\n\r\n"),
    "an extension in two lines": (400, CHUNKED + b"5;a\nb\r\nabcde\r\n0\r\n\r\n"),
    "a size's line without an end": (400, CHUNKED + b"5;" + b"a" * MAX_CHUNK_LINE),
    "a chunk that is longer than it says": (400, CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n"),
    "a chunk that ends with LF": (400, CHUNKED + b"3\r\nabc\n0\r\n\r\n"),
    "a trailer that is none": (400, CHUNKED + b"0\r\nnothing\r\n\r\n"),
    "a trailer that frames": (400, CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n"),
    "endless trailers": (431, CHUNKED + b"0\r\n" + b"X: y\r\n" * 2000),
    "a body beyond the largest": (413, HEAD + b"Content-Length: %d\r\n\r\n" % (LARGEST + 1)),
    "a body beyond all": (413, HEAD + b"Content-Length: %d\r\n\r\n" % 10**40),
}


def incoming(limit: int = LIMIT) -> Incoming:
    cfg = Config()
    cfg.set("limit_request_line", 0)

    def parse(head: bytes) -> Any:
        source = IterUnreader([head])
        request = Request(cfg, source, PEER)
        assert source.take_buffered() == b""
        return request

    return Incoming(parse, lambda _: limit, LARGEST)


def fed(one: Incoming, data: bytes, piece: int) -> int:
    """Feed pieces until the request is complete. Return the number of consumed bytes."""
    used = 0
    while not one.is_complete and used < len(data):
        used += one.feed(data[used : used + piece])
    return used


def judged(data: bytes) -> tuple[str, bytes, int]:
    """Path, body and length of the first request of ``data`` as gunicorn reads it."""
    parser = get_parser(Config(), iter([data]), PEER)
    request = next(parser)
    body = request.body.read()
    return request.uri, body, len(data) - len(parser.unreader.buf.getvalue())


@pytest.mark.parametrize("request_", COMPLETE.values(), ids=COMPLETE)
@pytest.mark.parametrize("piece", [1, 2, 7, 10_000])
def test_request_ends_where_gunicorn_ends_it(request_: bytes, piece: int) -> None:
    one = incoming()
    used = fed(one, request_ + NEXT, piece)
    assert one.is_complete
    assert used == len(request_)
    assert (one.request.uri, one.body, used) == judged(request_ + NEXT)


@pytest.mark.parametrize("request_", COMPLETE.values(), ids=COMPLETE)
def test_request_is_not_complete_before_its_last_byte(request_: bytes) -> None:
    one = incoming()
    assert one.feed(request_[:-1]) == len(request_) - 1
    assert not one.is_complete


@pytest.mark.parametrize(("status", "request_"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("piece", [1, 10_000])
def test_malformed_requests_are_refused(status: int, request_: bytes, piece: int) -> None:
    one = incoming()
    with pytest.raises(Refused) as refused:
        fed(one, request_, piece)
    assert refused.value.status == status
    assert b'"statusCode":%d' % status in refused.value.answer()


PIECES = st.sampled_from(
    (
        b"\r\n|\n|\r| |\t|0|3|a|abc|;|x=y|:|,|chunked|Content-Length: 3|Transfer-Encoding:|X: y|\0"
    ).split(b"|")
)


@given(st.lists(PIECES, max_size=14), st.sampled_from([HEAD, CHUNKED, b"GET / HTTP/1.1\r\n"]))
def test_request_is_read_as_gunicorn_reads_it_or_refused(
    pieces: list[bytes], beginning: bytes
) -> None:
    data = beginning + b"".join(pieces)
    one = incoming(limit=LARGEST)
    try:
        used = fed(one, data, 5)
    except Refused:
        return
    if one.is_complete:
        assert (one.request.uri, one.body, used) == judged(data)
        return
    # The request is incomplete, and gunicorn takes the end of the connection for its end.
    with suppress(errors.NoMoreData, errors.ParseException, StopIteration):
        assert judged(data)[2] == len(data)


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=3), st.data())
def test_chunks_end_where_gunicorn_ends_them(chunks: list[bytes], data: st.DataObject) -> None:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    request_ = CHUNKED + body
    one, cut = incoming(), data.draw(st.integers(0, len(request_) - 1))
    assert one.feed(request_[:cut]) == cut
    assert not one.is_complete
    assert cut + one.feed(request_[cut:] + NEXT) == len(request_)
    assert one.body == b"".join(chunks)


def test_body_above_its_limit_is_left_to_the_application() -> None:
    one = incoming()
    head = HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1)
    assert fed(one, head + b"x" * LIMIT, 10_000) == len(head)
    assert (one.is_complete, one.body) == (True, b"")
    assert one.request.should_close()


def test_chunks_above_the_limit_are_cut_one_byte_beyond_it() -> None:
    one = incoming()
    fed(one, CHUNKED + b"fffffffff\r\n" + b"x" * 500, 60)
    assert (one.is_complete, len(one.body)) == (True, LIMIT + 1)
    assert one.request.should_close()


def test_overhead_of_chunks_is_bounded() -> None:
    one = incoming(limit=1_000_000)
    with pytest.raises(Refused, match="chunked"):
        fed(one, CHUNKED + b"1\r\na\r\n" * MAX_CHUNK_OVERHEAD, 10_000)
    assert one.held < MAX_CHUNK_OVERHEAD


def test_length_of_the_request_line_is_bounded() -> None:
    def line(length: int) -> bytes:
        return b"GET /" + b"x" * (length - len("GET / HTTP/1.1")) + b" HTTP/1.1"

    one = incoming()
    fed(one, line(MAX_LINE) + b"\r\nHost: x\r\n\r\n", 5_000)
    assert one.is_complete
    for endless in (line(MAX_LINE + 10) + b"\r\n\r\n", b"x" * (MAX_LINE + 10)):
        with pytest.raises(Refused) as refused:
            fed(incoming(), endless, 5_000)
        assert refused.value.status == 414


def test_head_without_an_end_is_refused() -> None:
    one = incoming()
    with pytest.raises(Refused) as refused:
        fed(one, b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 1000 + b"\r\n") * 70, 5_000)
    assert refused.value.status == 431
    assert one.held <= MAX_HEAD + 5_000


def test_bytes_of_the_next_request_are_not_read() -> None:
    one = incoming()
    assert one.wants(50) is None
    one.feed(HEAD + b"Content-Length: 60\r\n\r\n")
    assert one.wants(50) == 50
    one.feed(b"x" * 50)
    assert one.wants(50) == 10


def test_server_and_application_have_the_same_body_limits() -> None:
    assert worker.SMALL_BODY == validation.MAX_BODY
    assert simulated_calls.MAX_BODY > worker.SMALL_BODY
    assert request_framing.MAX_LINE < request_framing.MAX_HEAD
