"""Conversion of marshmallow schemas for the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest
from apispec import APISpec
from marshmallow import Schema, fields, validate

from service.web.openapi.schemas import Shapes
from service.web.schemas.fields import Instant, Request, Text


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Wheel:
    size: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Car:
    colour: Colour
    paint: Colour
    second: Colour | None
    owner: str | None
    title: str | None
    remark: str | None
    sold: int | None
    wheels: tuple[Wheel, ...]
    spare: Wheel | None
    engine: Wheel

    @property
    def nickname(self) -> str | None:
        return self.owner


class WheelData(Schema):
    size = fields.Integer()
    name = fields.String()


class Capitals(fields.String):
    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return str(value).upper()


class CarData(Schema):
    colour = fields.String()
    shouted = Capitals(attribute="paint")
    unset = fields.String(dump_default=None)
    second = fields.String()
    owner = fields.String()
    renamed = fields.String(attribute="title", data_key="modelTitle")
    sold = Instant()
    wheels = fields.List(fields.Nested(WheelData()))
    spare = fields.Nested(WheelData())
    nickname = fields.String()
    engine_name = fields.String(attribute="engine.name")
    sometimes = fields.String(attribute="remark", metadata={"optional": True})
    unheard = fields.String()
    kind = fields.Constant("car")
    nothing = fields.Constant(None)


class NewCar(Request):
    plate = Text(required=True, validate=validate.Regexp(r"\A[A-Z]+\Z"))
    owner = Text()


def shapes(schema: Schema, annotation: Any = Any) -> dict[str, Any]:
    plugin = Shapes()
    spec = APISpec("Test", "1", "3.1.0", plugins=[plugin])
    plugin.converter.refer(schema, annotation)
    found: dict[str, Any] = spec.to_dict()["components"]["schemas"]
    return found


@pytest.fixture(scope="module")
def car() -> dict[str, Any]:
    found: dict[str, Any] = shapes(CarData(), Car)["CarData"]
    return found


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("colour", {"type": "string", "enum": ["red", "blue"]}),
        ("shouted", {"type": "string"}),
        ("unset", {"type": ["string", "null"]}),
        ("second", {"type": ["string", "null"], "enum": ["red", "blue", None]}),
        ("owner", {"type": ["string", "null"]}),
        ("modelTitle", {"type": ["string", "null"]}),
        ("sold", {"type": ["string", "null"], "format": "date-time"}),
        ("wheels", {"type": "array", "items": {"$ref": "#/components/schemas/WheelData"}}),
        ("spare", {"anyOf": [{"$ref": "#/components/schemas/WheelData"}, {"type": "null"}]}),
        ("nickname", {"type": ["string", "null"]}),
        ("engine_name", {"type": ["string", "null"]}),
        ("sometimes", {"type": "string"}),
        ("unheard", {"type": "string"}),
        ("kind", {"type": "string", "const": "car"}),
        ("nothing", {"type": ["string", "null"]}),
    ],
)
def test_annotations_give_null_and_enum_values(
    car: dict[str, Any], name: str, shape: dict[str, Any]
) -> None:
    assert car["properties"][name] == shape


def test_members_of_an_answer_are_required_unless_optional(car: dict[str, Any]) -> None:
    assert set(car["properties"]) - set(car["required"]) == {"sometimes"}
    assert car["additionalProperties"] is False


def test_annotations_of_nested_objects_are_used_too() -> None:
    wheel = shapes(CarData(), Car)["WheelData"]["properties"]
    assert wheel == {"size": {"type": "integer"}, "name": {"type": ["string", "null"]}}


def test_answer_without_annotations_is_described_by_its_schema() -> None:
    for annotation in (Any, dict[str, Any], None):
        owner = shapes(CarData(), annotation)["CarData"]["properties"]["owner"]
        assert owner == {"type": "string"}


def test_request_may_have_unknown_members_and_has_required_ones() -> None:
    found = shapes(NewCar())["NewCar"]
    assert found["required"] == ["plate"]
    assert "additionalProperties" not in found
    assert found["properties"]["plate"]["pattern"] == "^[A-Z]+$"
