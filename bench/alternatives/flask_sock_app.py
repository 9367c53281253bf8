"""Server with flask-sock as in its documentation: a receiving thread per socket and one mixer.

https://flask-sock.readthedocs.io
"""

from __future__ import annotations

import json
import threading
import time

from flask import Flask
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

from bench.alternatives.rooms import PERIOD, Caller, Rooms

app = Flask(__name__)
sock = Sock(app)
rooms = Rooms()


@sock.route("/twilio/<room>/<seat>")
def call(ws: Server, room: str, seat: str) -> None:
    caller = None
    try:
        while True:
            message = json.loads(ws.receive())
            if message["event"] == "media" and caller is not None:
                caller.receive(message["media"]["payload"])
            elif message["event"] == "start":
                caller = Caller(room, message["streamSid"], ws.send)
                rooms.join(caller)
    finally:
        if caller is not None:
            rooms.leave(caller)


def mix() -> None:
    due = time.monotonic()
    while True:
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))
        for caller, message in rooms.tick():
            try:
                caller.send(message)
            except (ConnectionClosed, OSError):
                rooms.leave(caller)


threading.Thread(target=mix, daemon=True).start()
