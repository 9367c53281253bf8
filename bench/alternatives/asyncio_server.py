"""The ``websockets`` library on asyncio: a coroutine for each socket, one more mixes.

https://websockets.readthedocs.io. Messages go out by ``broadcast``, which its documentation
recommends where no single slow client shall hold up the rest.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.alternatives.rooms import PERIOD, Caller, Rooms

rooms = Rooms()


async def call(connection: ServerConnection) -> None:
    room = connection.request.path.split("/")[2] if connection.request else ""
    caller = None
    try:
        async for text in connection:
            message = json.loads(text)
            if message["event"] == "media" and caller is not None:
                caller.hear(message["media"]["payload"])
            elif message["event"] == "start":
                send = partial(broadcast, [connection])
                caller = Caller(room, message["streamSid"], send)
                rooms.join(caller)
    finally:
        if caller is not None:
            rooms.leave(caller)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    # The load generator answers no pings.
    async with serve(call, "127.0.0.1", port, compression=None, ping_interval=None):
        due = loop.time()
        while True:
            due += PERIOD
            await asyncio.sleep(due - loop.time())
            for caller, message in rooms.tick():
                caller.send(message)


asyncio.run(main(int(sys.argv[1])))
