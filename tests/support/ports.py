"""Free ports on loopback."""

from __future__ import annotations

import random
import socket

# Below the range of ephemeral ports, from which an outgoing connection could take the port before
# the test's server does.
PORTS = range(11_000, 32_000)


def free_port() -> int:
    while True:
        # At random, because other processes run tests at the same time.
        port = random.SystemRandom().choice(PORTS)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
