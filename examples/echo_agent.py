"""An agent that echoes the audio of its room: python examples/echo_agent.py --help.

It accepts only dispatches that Patchbay has signed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import threading
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Dispatches(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not is_signed(body, self.headers["videosdk-signature"], self.headers["x-patchbay-key"]):
            self.send_error(403)
            return
        # Before the conversation: Patchbay waits for the answer.
        self.send_response(204)
        self.end_headers()
        threading.Thread(target=talk, args=(json.loads(body)["wsUrl"],), daemon=True).start()


def is_signed(body: bytes, signature: str | None, key: str | None) -> bool:
    try:
        public_key(key).verify(base64.b64decode(signature or ""), body, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=2)
def public_key(key: str | None) -> Any:
    """Fetch the key once, and again when Patchbay signs with another key."""
    with urlopen(f"{options.patchbay}/v2/public/rsa-public-key", timeout=5) as answer:
        return load_pem_public_key(json.load(answer)["publicKey"].encode())


def talk(url: str) -> None:
    """Handle the session. Patchbay closes the socket at the end of the call."""
    with contextlib.suppress(ConnectionClosed), connect(url, compression=None) as socket:
        socket.send(json.dumps({"event": "start"}))
        for text in socket:
            message = json.loads(text)
            if message["event"] == "media":
                socket.send(json.dumps({"event": "media", "payload": message["payload"]}))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--patchbay", required=True, help="whose signature a dispatch must have")
parser.add_argument("--port", type=int, default=9001)
options = parser.parse_args()
print(f"Listening at http://127.0.0.1:{options.port}", flush=True)
ThreadingHTTPServer(("127.0.0.1", options.port), Dispatches).serve_forever()
