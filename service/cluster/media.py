"""The media plane of several nodes: ``Media``, routed to the node of each call."""

from __future__ import annotations

import logging
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from service.cluster.codec import Malformed, unpack
from service.cluster.commands import Commands
from service.cluster.keeper import ELSEWHERE
from service.cluster.messages import (
    GetLoudness,
    GetStats,
    HangUpCall,
    MoveCall,
    ReleaseCall,
)
from service.cluster.passing import Passing
from service.cluster.peers import ANSWER_SECONDS, Unanswered
from service.cluster.routed_peers import AnyPeers
from service.domain.calls import EndReason, Participant
from service.domain.loudness import Loudness
from service.media.engine.commands import TakenLeg
from service.media.engine.engine import Engine
from service.media.rooms.leg import LegSpec
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

NodeOf = Callable[[Iterable[str]], Mapping[str, str]]
"""Return the node of each of these calls; a call without one is absent."""


class ClusterMedia:
    """Thread-safe. Requests about a call without a node go to this process's own engine."""

    def __init__(
        self,
        node_id: str,
        node_of: NodeOf,
        engine: Engine,
        peers: AnyPeers,
        commands: Commands,
        passing: Passing,
        watched: Callable[[], object],
        is_here: Callable[[str], bool],
    ) -> None:
        """``watched`` is called when the own live feed gets a reader. ``is_here`` tells whether a
        socket can be passed to a node.
        """
        self._node_id = node_id
        self._node_of = node_of
        self._engine = engine
        self._peers = peers
        self._commands = commands
        self._passing = passing
        self._watched = watched
        self._is_here = is_here
        self.changes = 0
        """Number of announcements that stored calls have changed."""

    def adopt(self, sock: socket.socket, spec: LegSpec) -> None:
        try:
            node_id = self._home(spec.call_id)
        except Exception as error:  # noqa: BLE001 - the socket must not stay open
            detail = f"the node of the call is not known: {error}"
            self._passing.fail(sock, spec, detail)
            return
        if node_id == self._node_id:
            self._engine.adopt(sock, spec)
        else:
            self._passing.pass_on(node_id, sock, spec)

    def hang_up(self, call_id: str, reason: EndReason, text: str) -> None:
        node_id = self._home_if_known(call_id)
        if node_id in (None, self._node_id):
            self._engine.hang_up(call_id, reason, text)
        else:
            self._commands.send([node_id], HangUpCall(call_id, reason, text))

    def release(self, call_id: str, text: str) -> None:
        node_id = self._home_if_known(call_id)
        if node_id in (None, self._node_id):
            self._engine.release(call_id, text)
        else:
            self._commands.send([node_id], ReleaseCall(call_id, text))

    def move(
        self, call_id: str, room_id: str, participant: Participant, session_id: str | None
    ) -> None:
        """Send the move to every node: the stored node of the call is already that of the new room,
        and another node has the socket.
        """
        node_id = self._home_if_known(call_id)
        if node_id is None:
            return
        move = MoveCall(call_id, room_id, participant, session_id, node_id)
        self.place(move)
        self._commands.send(self._peers.ids(), move)

    def stats(
        self, call_ids: Iterable[str], seconds: float = ANSWER_SECONDS
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return statistics of the calls that have a socket, of the nodes that answer in time.

        Raises ``TimeoutError`` where the own engine does not answer.
        """
        wanted = tuple(call_ids)
        homes = self._node_of(wanted)
        elsewhere: defaultdict[str, list[str]] = defaultdict(list)
        here: list[str] = []
        for call_id in wanted:
            node_id = homes.get(call_id, self._node_id)
            (here if node_id == self._node_id else elsewhere[node_id]).append(call_id)
        found = dict(self._engine.stats(here, seconds)) if here or not wanted else {}
        questions = {node_id: GetStats(tuple(ids)) for node_id, ids in elsewhere.items()}
        for answer in self._peers.ask_all(questions, seconds).values():
            if isinstance(answer, dict):
                found.update(answer)
        return found

    def loudness(self, call_id: str, seconds: float = ANSWER_SECONDS) -> Loudness | None:
        """Raises ``TimeoutError`` where the call's node does not answer."""
        node_id = self._home(call_id)
        if node_id == self._node_id:
            return self._engine.loudness(call_id, seconds)
        try:
            answer = self._peers.ask(node_id, GetLoudness(call_id), seconds=seconds)
            return None if answer is None else unpack(Loudness, answer)
        except (Unanswered, Malformed) as error:
            raise TimeoutError(str(error)) from None

    def watch(self, sock: socket.socket) -> None:
        self._engine.watch(sock)
        self._watched()

    def announce(self) -> None:
        self.changes += 1
        self._engine.announce()

    def place(self, move: MoveCall) -> None:
        """Apply a move to the legs of the own engine: within it, or to the room's node.

        A leg whose room is on another machine is closed, and its provider asks again.
        """
        if move.node_id == self._node_id:
            self._engine.move(move.call_id, move.room_id, move.participant, move.session_id)
        elif not self._is_here(move.node_id):
            self._engine.hand_back(move.call_id, ELSEWHERE, move.room_id)
        else:
            self._engine.take_out(move.call_id, partial(self._taken_out, move))

    def _taken_out(self, move: MoveCall, leg: TakenLeg) -> None:
        """Pass a leg on, outside the engine's thread, which calls this."""
        spec = replace(
            leg.spec,
            room_id=move.room_id,
            participant=move.participant,
            session_id=move.session_id,
        )
        self._commands.submit(
            partial(self._passing.pass_on, move.node_id, leg.sock, spec, leg.state)
        )

    def _home(self, call_id: str) -> str:
        return self._node_of((call_id,)).get(call_id, self._node_id)

    def _home_if_known(self, call_id: str) -> str | None:
        """Return the call's node; ``None`` where the database is away.

        The change is stored, and the node that has the socket will find it.
        """
        try:
            return self._home(call_id)
        except Exception:
            logger.exception("the node of a call is not known", extra=about(call_id))
            return None
