"""Verification of signatures with Node, for receivers that are written in JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence

import pytest

SCRIPT = """
const { verify } = require("crypto");
const { key, signed } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const holds = (body, signature) =>
  verify("RSA-SHA256", Buffer.from(body, "utf8"), key, Buffer.from(signature, "base64"));
console.log(JSON.stringify(signed.map(([signature, body]) =>
  [holds(body, signature), holds(JSON.stringify(JSON.parse(body)), signature)])));
"""


def verified(key: str, signed: Sequence[tuple[str, str]]) -> list[list[bool]]:
    """Return whether each signature is valid for its body as sent, and parsed and printed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed, so the signatures are not verified.")
    asked = json.dumps({"key": key, "signed": signed})
    answer = subprocess.run(
        [node, "-e", SCRIPT], input=asked, text=True, capture_output=True, check=True
    )
    judged: list[list[bool]] = json.loads(answer.stdout)
    return judged
