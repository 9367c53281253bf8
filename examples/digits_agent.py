"""An agent that speaks each key that a caller presses: python examples/digits_agent.py --help.

It accepts every dispatch: echo_agent.py shows how to check the signature.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import threading
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

FOLDER = Path(__file__).parent / "digits"


def spoken(name: str) -> str:
    """Return a WAV file's audio in the format of the custom WebSocket: 16 bits, 8 kHz, mono."""
    with wave.open(str(FOLDER / f"{name}.wav")) as file:
        return base64.b64encode(file.readframes(file.getnframes())).decode()


KEYS = {key: spoken(key) for key in "0123456789"} | {"*": spoken("star"), "#": spoken("pound")}


class Dispatches(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        dispatch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # Before the conversation: Patchbay waits for the answer.
        self.send_response(204)
        self.end_headers()
        threading.Thread(target=talk, args=(dispatch["wsUrl"],), daemon=True).start()


def talk(url: str) -> None:
    """Handle the session. Patchbay closes the socket at the end of the call."""
    with contextlib.suppress(ConnectionClosed), connect(url, compression=None) as socket:

        def say(event: str, **fields: str) -> None:
            socket.send(json.dumps({"event": event, **fields}))

        say("start")
        say("subscribe", topic="DTMF_EVENT")
        for text in socket:
            message = json.loads(text)
            if message["event"] == "message":
                say("clear")  # Stop the previous key: the caller has pressed another.
                key = str(message["data"]["payload"]["number"])
                if key in KEYS:  # A to D are keys too.
                    say("media", payload=KEYS[key])


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=9002)
options = parser.parse_args()
print(f"Listening at http://127.0.0.1:{options.port}", flush=True)
ThreadingHTTPServer(("127.0.0.1", options.port), Dispatches).serve_forever()
