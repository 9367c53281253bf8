"""Hooks for schemathesis: every other generated webhook is a phone call to a real connector.

Every request has a different address in its proxy header; otherwise requests without a token would
soon exceed the limit of failures.

``WEBHOOKS`` in the environment lists the paths of the webhooks.
"""

from __future__ import annotations

import json
import os
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import schemathesis
from schemathesis import GenerationMode

PATHS = json.loads(os.environ["WEBHOOKS"])
CALL_IDS = ("CallSid", "CallUUID")

ADDRESSES = iter(ip_network("10.0.0.0/8").hosts())

LONGEST_QUERY = 3_000
"""Characters. gunicorn refuses longer request lines (4 KB) itself, in HTML."""


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: Any) -> bool:
    return len(quote(str(query))) < LONGEST_QUERY


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    case.headers = {**(case.headers or {}), "X-Forwarded-For": str(next(ADDRESSES))}
    is_hook = case.operation.path.startswith("/v2/hooks/{provider}/{key}")
    key = str(case.path_parameters.get("key", ""))
    if not is_hook or case.meta.generation.mode != GenerationMode.POSITIVE or len(key) % 2 == 0:
        return case
    provider, key = PATHS[len(key) // 2 % len(PATHS)].split("/")[-2:]
    case.path_parameters |= {"provider": provider, "key": key}
    parameters = case.query if case.method == "GET" else case.body
    if isinstance(parameters, dict):
        parameters.update(_call(list(parameters.values())))
    return case


def _call(values: list[Any]) -> dict[str, str]:
    """Return the fields of a call, with generated texts as its numbers."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = dict(zip(("From", "To", "CallStatus"), texts, strict=False))
    return {**dict.fromkeys(CALL_IDS, f"call-{len(values)}"), **numbers}
