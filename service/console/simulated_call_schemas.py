"""Schemas of test calls in requests and responses."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from service.simulator.scenario import CALLEE, CALLER
from service.web.schemas.fields import IDENTIFIER, Count, Request, Text
from service.web.schemas.phone_numbers import PhoneNumber

SOUNDS = ("melody", "tone", "recording")
MAX_SECONDS = 300


class NewSimulatedCall(Request):
    """``recording`` is a WAV file in base64, for the sound ``recording`` only."""

    connector_id = Text(data_key="connectorId", required=True, validate=IDENTIFIER)
    sound = Text(
        load_default=SOUNDS[0],
        validate=validate.OneOf(SOUNDS, error=f"must be one of {', '.join(SOUNDS)}"),
    )
    recording = Text()
    seconds = Count(
        load_default=30,
        validate=validate.Range(
            1, MAX_SECONDS, error=f"must be a whole number from 1 to {MAX_SECONDS}"
        ),
    )
    caller = PhoneNumber(load_default=CALLER)
    callee = PhoneNumber(load_default=CALLEE)
    digits = Text(
        load_default="",
        validate=validate.Regexp(
            r"\A[0-9*#]{0,32}\Z", error="must be at most 32 of 0 to 9, * and #"
        ),
    )
    pin = Text(
        load_default="",
        validate=validate.Regexp(r"\A[0-9]{0,16}\Z", error="must be at most 16 digits"),
    )

    @validates_schema
    def require_recording(self, data: dict[str, Any], **kwargs: Any) -> None:
        if ("recording" in data) != (data["sound"] == "recording"):
            raise ValidationError(
                "is for the sound recording, which is nothing without it", "recording"
            )


class LadderStepData(Schema):
    """``at`` is in seconds since the first step."""

    at = fields.Float()
    name = fields.String()
    detail = fields.String()


class SimulatedCallReportData(Schema):
    ended = fields.String()
    trouble = fields.String()
    answered_ms = fields.Float(data_key="answeredMs")
    connected_ms = fields.Float(data_key="connectedMs")
    first_audio_ms = fields.Float(data_key="firstAudioMs")
    round_trip_ms = fields.Float(data_key="roundTripMs", attribute="rtt_median_ms")
    frames_sent = fields.Integer(data_key="framesSent")
    frames_heard = fields.Integer(data_key="framesHeard")
    frames_missing = fields.Integer(data_key="framesMissing")
    gaps = fields.Integer()
    longest_gap_ms = fields.Float(data_key="longestGapMs")
    level_dbfs = fields.Float(data_key="levelDbfs")
    digits_heard = fields.String(data_key="digitsHeard")
    said = fields.List(fields.String())
    problems = fields.List(fields.String())


class SimulatedCallData(Schema):
    id = fields.String()
    connector_id = fields.String(data_key="connectorId")
    seconds = fields.Float()
    planned = fields.Float()
    ladder = fields.List(fields.Nested(LadderStepData))
    report = fields.Nested(SimulatedCallReportData)
