"""Bad peers against a real server: they are put out, and come again."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from patchbays import patchbay

from bench.peers import PEERS, attacking


def test_who_is_put_out_comes_again(tmp_path: Path) -> None:
    [peer] = [peer for peer in PEERS if peer.name == "pings, 5,000 a second"]
    with patchbay(tmp_path) as bay:
        port = urlsplit(bay.url).port
        assert port is not None
        with attacking(peer, port, bay.token) as attack:
            bay.eventually(lambda: attack.closed >= 1 and attack.opened >= 2)
        assert attack.sent > len(peer.burst)
