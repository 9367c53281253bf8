"""Ports on loopback that nothing listens on."""

from __future__ import annotations

import random
import socket

# Below the ports that systems give to connections that go out, or one of those could take the port
# before the test's server does.
PORTS = range(11_000, 32_000)


def free_port() -> int:
    while True:
        # By chance, because other processes run tests at the same time.
        port = random.SystemRandom().choice(PORTS)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
