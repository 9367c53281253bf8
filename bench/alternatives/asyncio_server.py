"""Server with the ``websockets`` library on asyncio: a coroutine per socket and one mixer.

https://websockets.readthedocs.io. Messages are sent with ``broadcast``, which its documentation
recommends so that a slow client does not delay the others.
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
                caller.receive(message["media"]["payload"])
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
