"""Fuzz test of the schemas: any request is loaded as storable values or refused in a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, validate

from service import api, console
from service.api.schemas.addresses import CallableUrl
from service.api.schemas.credentials import MAX_VALUES, read
from service.api.schemas.dispatch import NewDispatch
from service.api.schemas.routing_rules import OlderRuleType
from service.api.schemas.subscriptions import EventName
from service.console.schemas import SignInCredentials
from service.errors import Invalid
from service.providers import load
from service.providers.base.provider import Provider
from service.storage.database import Database
from service.web.declarations import declared
from service.web.schemas.fields import MAX_METADATA, MAX_NUMBER, ProviderName
from service.web.schemas.phone_numbers import PhoneNumber
from service.web.services import install
from service.web.validation import body, query
from tests.support.clocks import FakeClock
from tests.support.fuzzing import corrupted, fuzz, json_values, like, texts, wholes
from tests.support.harness import Harness

PROVIDERS = load()

# Values that are compared, ignored or hashed, not stored. Credentials have a test of their own
# below.
UNSTORED = ("api_key", "credentials", "gateway_id", "ref")

ONE_OF_SEVERAL = {(NewDispatch, "roomId"), (SignInCredentials, "link")}
"""Fields that are optional alone, but of which a request needs at least one."""

SURROGATE = re.compile("[\ud800-\udfff]")

app = Flask("fuzz", static_folder=None)
app.config["PROVIDERS"] = tuple(PROVIDERS)
api.register(app)
console.register(app)

BODIES, QUERIES = (
    {
        type(schema).__name__: schema
        for view in app.view_functions.values()
        if isinstance(schema := getattr(declared(view), place), Schema)
    }
    for place in ("body", "query")
)


@pytest.fixture(scope="module", autouse=True)
def _services(shared_sqlite: Database) -> None:
    """The app's services: some fields read a setting."""
    install(app, Harness(shared_sqlite, FakeClock()).services)


TEXTS = texts | st.sampled_from(
    [
        *("room-1", "a b", "twilio", "plivo", "enabled", "inbound", "outbound", "INBOUND", "cloud"),
        *("+14155550100", "(415) 555-0100", "+91*", "*", "1234", "12345678901234567", "ALL"),
        *("call-started", "call-*", "*", "1", "100", "1700000000000", "9" * 15, "1_0", " 1", "\n"),
        *("https://example.com/hook", "https://user:pw@example.com", "http://[::1]/", "http://["),
        *("https://example.com:99999/", "https://example.com\n/", "http://localhost", "ftp://a"),
        *("http://[fe80::1%eth0]/", "http://169.254.169.254/", "https://xn--a.example", "http://é"),
    ]
)

GOOD: dict[type, str] = {
    CallableUrl: "https://example.com/hook",
    EventName: "call-answered",
    OlderRuleType: "INBOUND",
    PhoneNumber: "+14155550100",
    ProviderName: "twilio",
}

OBJECTS = st.one_of(
    st.dictionaries(texts, json_values, max_size=3),
    st.integers(1, 40).map(lambda depth: json.loads('{"a":' * depth + "1" + "}" * depth)),
    st.sampled_from([MAX_METADATA - 20, MAX_METADATA]).map(lambda size: {"a": "x" * size}),
    wholes.map(lambda number: {"n": [number]}),
)


def outline(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    """Possible values for a field, valid or not."""
    match field:
        case fields.Nested():
            return requests(field.schema)
        case fields.List():
            return st.just([good(field.inner)]) | st.lists(like(outline(field.inner)), max_size=3)
        case fields.Enum():
            return st.sampled_from([each.value for each in field.enum]) | TEXTS
        case fields.Dict():
            return OBJECTS
        case fields.Boolean():
            return st.booleans()
        case fields.Integer():
            return st.integers(-1, 130) | wholes
    return st.one_of(*[st.just(good(field))] * 6, TEXTS)


def good(field: fields.Field[Any]) -> Any:
    """Valid values of the field."""
    match field:
        case fields.Nested():
            return least(field.schema)
        case fields.List():
            return [good(field.inner)]
        case fields.Enum():
            return next(iter(field.enum)).value
    choices = [each.choices for each in field.validators if isinstance(each, validate.OneOf)]
    return next(iter(choices[0])) if choices else GOOD.get(type(field), "1234")


def least(schema: Schema) -> dict[str, Any]:
    """Return a request with only the required fields."""
    return {n: good(field) for n, field in members(schema).items() if is_needed(n, field)}


def with_each_field(schema: Schema, value: object) -> Iterator[dict[str, Any]]:
    """Yield requests that have the value in one field each, nested fields included."""
    for name, field in members(schema).items():
        yield {**least(schema), name: value}
        if isinstance(field, fields.Nested):
            for inner in with_each_field(field.schema, value):
                yield {**least(schema), name: inner}


def members(schema: Schema) -> dict[str, fields.Field[Any]]:
    return {field.data_key or name: field for name, field in schema.load_fields.items()}


def is_needed(name: str, field: fields.Field[Any]) -> bool:
    return field.required or (type(field.parent), name) in ONE_OF_SEVERAL


@st.composite
def requests(draw: st.DrawFn, schema: Schema) -> Any:
    """Requests with the required fields and a few optional ones."""
    known = members(schema)
    wanted = draw(st.sets(st.sampled_from(list(known)), max_size=4))
    wanted |= {name for name, field in known.items() if is_needed(name, field)}
    return draw(like({name: outline(known[name]) for name in sorted(wanted)}))


def judge(schema: Schema, loaded: dict[str, Any]) -> None:
    """Assert that loaded values fit into columns of text, numbers and JSON."""
    for name, value in loaded.items():
        field = schema.load_fields.get(name)
        if isinstance(field, fields.Nested) and value is not None:
            judge(field.schema, value)
        elif not (
            name in UNSTORED or isinstance(field, SignInCredentials) or type(field) is fields.Raw
        ):
            assert fits(value), name


def fits(value: object, *, is_json: bool = False) -> bool:
    """Return whether a text column takes the text; NUL only fits into JSON, which escapes it."""
    if isinstance(value, str):
        return SURROGATE.search(value) is None and (is_json or "\0" not in value)
    if isinstance(value, dict):
        return all(fits(each, is_json=True) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return all(fits(each, is_json=is_json) for each in value)
    return value is None or (isinstance(value, int | float) and abs(value) < MAX_NUMBER)


def is_taken(check: Callable[[Schema], Any], schema: Schema, **request: Any) -> bool:
    """Return whether a request is loaded; check the values, or the sentence that refuses it."""
    with app.test_request_context("/", **request):
        try:
            judge(schema, check(schema)(lambda loaded: loaded)())
        except (ValidationError, Invalid) as error:
            response = app.make_response(app.handle_user_exception(error))
        else:
            return True
    assert response.status_code == 400
    assert json.loads(response.get_data())["message"].endswith(".")
    return False


def is_body_taken(schema: Schema, sent: bytes) -> bool:
    return is_taken(body, schema, method="POST", data=sent, content_type="application/json")


@pytest.mark.parametrize("schema", BODIES.values(), ids=BODIES)
def test_no_text_of_a_loaded_body_contains_nul(schema: Schema) -> None:
    for sent in with_each_field(schema, "a\0b"):
        is_body_taken(schema, json.dumps(sent).encode())


@pytest.mark.parametrize("schema", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("value", [2**63, {"n": [-(2**63)]}], ids=["number", "in an object"])
def test_no_number_of_a_loaded_body_exceeds_64_bits(schema: Schema, value: object) -> None:
    for sent in with_each_field(schema, value):
        is_body_taken(schema, json.dumps(sent).encode())


@pytest.mark.parametrize("schema", QUERIES.values(), ids=QUERIES)
def test_no_text_of_a_loaded_query_contains_nul(schema: Schema) -> None:
    for name in members(schema):
        sent = {**least(schema), name: "a\0b"}
        is_taken(query, schema, query_string=urlencode(sent))


@pytest.mark.parametrize("schema", QUERIES.values(), ids=QUERIES)
def test_no_number_of_a_loaded_query_exceeds_64_bits(schema: Schema) -> None:
    # Python parses no number of 5000 digits: such a text must be refused before.
    for name, digits in product(members(schema), (40, 5000)):
        sent = {**least(schema), name: "9" * digits}
        is_taken(query, schema, query_string=urlencode(sent))


@pytest.mark.hypothesis
@pytest.mark.parametrize("schema", BODIES.values(), ids=BODIES)
def test_a_body_is_loaded_as_storable_values_or_refused(schema: Schema) -> None:
    raw = st.one_of(*[requests(schema)] * 4, json_values).map(json.dumps).map(str.encode)

    @fuzz(8)
    @given(st.one_of(*[raw] * 4, raw.flatmap(corrupted)))
    def check(sent: bytes) -> None:
        is_body_taken(schema, sent)

    assert is_body_taken(schema, json.dumps(least(schema)).encode())
    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize("schema", QUERIES.values(), ids=QUERIES)
def test_a_query_is_loaded_as_storable_values_or_refused(schema: Schema) -> None:
    known = [field.data_key or name for name, field in schema.load_fields.items()]
    enums = [field.enum for field in schema.load_fields.values() if isinstance(field, fields.Enum)]
    values = st.one_of(TEXTS, *[st.sampled_from([each.value for each in enum]) for enum in enums])
    pairs = st.lists(st.tuples(st.sampled_from(known) | texts, values), max_size=4)

    @fuzz(8)
    @given(pairs.map(urlencode) | st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")))
    def check(sent: str) -> None:
        is_taken(query, schema, query_string=sent)

    assert is_taken(query, schema, query_string=urlencode(least(schema)))
    check()


@pytest.mark.hypothesis
@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_credentials_are_loaded_as_storable_values_or_refused(provider: Provider) -> None:
    values = TEXTS | st.sampled_from(["AC" + "0" * 32, "MA" + "A" * 18, " secret\n"])
    names = st.sampled_from([each.name for each in provider.credentials])

    @given(
        st.dictionaries(names | texts, values | st.lists(values, max_size=3) | json_values)
        | st.dictionaries(names, values)
    )
    def check(sent: dict[str, Any]) -> None:
        try:
            loaded = read(provider, sent)
        except ValidationError:
            return
        for name, kept in loaded.items():
            assert name in sent
            assert kept is None or 1 <= len(kept) <= MAX_VALUES
            assert fits(kept)

    check()
