"""schemathesis compares a real server with its OpenAPI document.

``make fuzz`` runs more examples, with a new seed each time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.providers import load
from service.security import access_tokens
from tests.support.fuzzing import EXAMPLES
from tests.support.patchbays import running_patchbay
from tests.support.paths import ROOT
from tests.support.servers import PATIENCE

# The document cannot say everything: what metadata may weigh, or that a webhook has to name a call.
EXCLUDED = "positive_data_acceptance"

# Generated agents have generated addresses, which accept no dispatch.
CONFIG = """
[[operations]]
include-path-regex = "^/v2/agent/(dispatch|connect)$"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "502"]
"""


@pytest.mark.hypothesis
def test_endpoints_answer_only_as_documented(tmp_path: Path) -> None:
    with running_patchbay(tmp_path, MAX_CALLS="100000", TRUST_PROXY="1") as patchbay:
        webhooks = [patchbay.webhook(provider, "room-1") for provider in load()]
        (tmp_path / "schemathesis.toml").write_text(CONFIG)
        token = access_tokens.mint("key", "secret" * 8, time.time_ns() // 1_000_000)
        run = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "--no-color", "run"),
                *("--header", f"Authorization: {token}"),
                *("--request-timeout", str(PATIENCE)),
                *("--max-examples", EXAMPLES or "5", *(() if EXAMPLES else ("--seed", "1"))),
                *("--exclude-checks", EXCLUDED, "--continue-on-failure", "--warnings", "off"),
                f"{patchbay.url}/openapi.json",
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
                "WEBHOOKS": json.dumps(webhooks),
            },
            check=False,
        )
        assert run.returncode == 0
        assert patchbay.calls(), "no webhook was a call"
        patchbay.server.stop()
    assert " ERROR " not in patchbay.server.output
