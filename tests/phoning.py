"""Hooks for schemathesis: every other webhook it makes up is a phone call to a real connector.

``WEBHOOKS`` in the environment lists their paths.
"""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis

PATHS = json.loads(os.environ["WEBHOOKS"])
CALL_IDS = ("CallSid", "CallUUID")


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    operation = case.operation
    if not operation.path.startswith("/v2/hooks/{provider}/{key}"):
        return case
    key = str(case.path_parameters.get("key", ""))
    if len(key) % 2 == 0:
        return case
    provider, key = PATHS[len(key) // 2 % len(PATHS)].split("/")[-2:]
    case.path_parameters |= {"provider": provider, "key": key}
    parameters = case.query if case.method == "GET" else case.body
    if isinstance(parameters, dict):
        parameters.update(_call(list(parameters.values())))
    return case


def _call(values: list[Any]) -> dict[str, str]:
    """What names a call, with what was made up for its numbers."""
    texts = [value for value in values if isinstance(value, str)]
    numbers = dict(zip(("From", "To", "CallStatus"), texts, strict=False))
    return {**dict.fromkeys(CALL_IDS, f"call-{len(values)}"), **numbers}
