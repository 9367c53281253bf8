"""The providers' REST APIs on loopback: they check credentials and fields, and place calls.

A placed call is a phone of the simulator, which requests the answer URL as the provider does, and
signs all its requests.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from service.simulator.audio import sound
from service.simulator.phone import Phone
from service.simulator.scenario import Scenario
from tests.support.http_servers import in_thread
from tests.support.servers import PATIENCE
from tests.support.signers import TELNYX_KEY, public_key

CREDENTIALS = {
    "twilio": {"accountSid": "AC" + "1" * 32, "authToken": "t" * 32},
    "plivo": {"authId": "MAXXXXXXXXXXXXXXXXXX", "authToken": "p" * 40},
    "telnyx": {
        "apiKey": "KEY" + "x" * 30,
        "accountSid": "6a9a-7976",
        "applicationId": "42",
        "publicKey": public_key(TELNYX_KEY),
    },
}

SIGNING_KEYS = {
    "twilio": CREDENTIALS["twilio"]["authToken"],
    "plivo": CREDENTIALS["plivo"]["authToken"],
    "telnyx": b64encode(TELNYX_KEY.private_bytes_raw()).decode(),
}

PATHS = {
    "twilio": re.compile(r"/2010-04-01/Accounts/AC1{32}/Calls(?:/([^/]+))?\.json"),
    "plivo": re.compile(r"/v1/Account/MAX+/Call/(?:([^/]+)/)?"),
    "telnyx": re.compile(r"/v2/texml/Accounts/6a9a-7976/Calls(?:/([^/]+))?"),
}

NEEDED = {
    "twilio": {"To", "From", "Url", "StatusCallback"},
    "plivo": {"to", "from", "answer_url", "hangup_url"},
    "telnyx": {"To", "From", "Url", "ApplicationSid", "StatusCallback"},
}


def authorization(provider: str) -> str:
    secrets = CREDENTIALS[provider]
    if provider == "telnyx":
        return f"Bearer {secrets['apiKey']}"
    pair = ":".join(
        secrets[name] for name in ("accountSid", "authId", "authToken") if name in secrets
    )
    return "Basic " + b64encode(pair.encode()).decode()


REDIRECTED = {
    "twilio": {"Url", "Method"},
    "plivo": {"legs", "aleg_url", "aleg_method"},
    "telnyx": {"Url", "Method"},
}
"""Fields of a request to redirect a call."""


class ProviderApi:
    """``placed`` has the fields of calls to place and ``hung_up`` the ids of calls to end.

    ``redirected`` has the ids of calls to redirect, with their new addresses; ``on_redirect`` is
    called with each.

    ``trouble`` is a status and body that replace every successful answer, and ``cut`` removes half
    of each body. Phones take their scenario's arguments from ``plan``; without a ``plan`` no phone
    is called.
    """

    def __init__(self) -> None:
        self.url = ""
        self.placed: list[dict[str, Any]] = []
        self.hung_up: list[str] = []
        self.redirected: list[tuple[str, str]] = []
        self.on_redirect: Callable[[str, str], object] = lambda call_id, url: None
        self.refused: list[str] = []
        self.phones: list[Phone] = []
        self.connections: set[object] = set()
        self.trouble: tuple[int, object] | None = None
        self.cut = False
        self.plan: dict[str, Any] | None = None

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, object]:
        provider, match = next(
            (name, found) for name, form in PATHS.items() if (found := form.fullmatch(path))
        )
        if headers["Authorization"] != authorization(provider):
            self.refused.append(path)
            return 401, {"code": 20003, "message": "Authenticate"}
        if self.trouble is not None:
            return self.trouble
        json_body = "json" in (headers["Content-Type"] or "")
        fields = json.loads(body) if json_body else dict(parse_qsl(body.decode()))
        if match[1] is not None:
            return self._change(provider, method, unquote(match[1]), fields, json_body)
        assert json_body is (provider != "twilio")
        assert fields.keys() >= NEEDED[provider], fields
        self.placed.append(fields)
        call_id = self._call(provider, {name.lower(): value for name, value in fields.items()})
        name = {"twilio": "sid", "plivo": "request_uuid", "telnyx": "sid"}[provider]
        return 201, {name: call_id}

    def _change(
        self, provider: str, method: str, call_id: str, fields: dict[str, Any], json_body: bool
    ) -> tuple[int, object]:
        """Redirect or end a call. Telnyx takes a form here."""
        if fields.keys() != REDIRECTED[provider]:
            assert method == ("DELETE" if provider == "plivo" else "POST")
            assert fields == ({} if provider == "plivo" else {"Status": "completed"})
            self.hung_up.append(call_id)
            return 204 if provider == "plivo" else 200, {}
        assert method == "POST"
        assert json_body is (provider == "plivo")
        assert fields.get("legs", "aleg") == "aleg"
        assert fields.get("Method", fields.get("aleg_method")) == "POST"
        url = fields.get("Url") or fields["aleg_url"]
        self.redirected.append((call_id, url))
        self.on_redirect(call_id, url)
        return 202 if provider == "plivo" else 200, {}

    def _call(self, provider: str, fields: dict[str, Any]) -> str:
        if self.plan is None:
            return f"made-up-{len(self.placed)}"
        plan = Scenario(
            webhook_url=fields.get("url") or fields["answer_url"],
            status_url=fields.get("statuscallback") or fields["hangup_url"],
            caller="+" + fields["from"].removeprefix("+"),
            callee="+" + fields["to"].removeprefix("+"),
            is_outbound=True,
            sample=sound.tone(440, 1.0),
            loop=True,
            signing_key=SIGNING_KEYS[provider],
            account=CREDENTIALS[provider].get("accountSid") or CREDENTIALS[provider].get("authId"),
            **self.plan,
        )
        self.phones.append(Phone(plan))
        self.phones[-1].start()
        return self.phones[-1].call_id


@contextmanager
def provider_api() -> Iterator[ProviderApi]:
    api = ProviderApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            api.connections.add(self.client_address)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            status, document = api.answer(self.command, path, self.headers, body)
            text = b"" if status == 204 else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2] if api.cut else text)
            self.close_connection = api.cut

        def do_DELETE(self) -> None:
            self.do_POST()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    with in_thread(server):
        try:
            yield api
        finally:
            for phone in api.phones:
                phone.hang_up()
                phone.join(PATIENCE)
