"""The directory: which nodes are on this machine, and the addresses of those on other machines.

A machine without NODE_URL has no other machine beside it, and asks the database nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from service.domain.nodes import Node

REMEMBERED = 1000
"""Nodes that are remembered, also after they have ended: they are told of their calls that were
taken over."""


class Directory:
    """Thread-safe. The address and the machine of a node never change, so they are kept."""

    def __init__(
        self,
        machine_id: str,
        url: str | None = None,
        find: Callable[[str], Node | None] = lambda node_id: None,
    ) -> None:
        """``url`` is this machine's NODE_URL. ``find`` reads a node from the database, and raises
        ``Busy``.
        """
        self._machine_id = machine_id
        self._url = url
        self._find = find
        self._lock = threading.Lock()
        self._known: dict[str, Node] = {}
        self._elsewhere: tuple[str, ...] = ()
        self._urls: tuple[str, ...] = () if url is None else (url,)

    @property
    def is_shared(self) -> bool:
        """Whether other machines may serve beside this one."""
        return self._url is not None

    def update(self, fresh: Iterable[Node]) -> None:
        """Note the nodes that are up."""
        fresh = tuple(fresh)
        with self._lock:
            for node in fresh:
                self._note(node)
            self._elsewhere = tuple(
                node.id for node in fresh if self.is_shared and node.machine_id != self._machine_id
            )
            urls = [self._url, *(node.url for node in fresh)] if self.is_shared else []
            self._urls = tuple(dict.fromkeys(url for url in urls if url is not None))

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of the machines that are up, this one's included."""
        return self._urls

    def url_of(self, node_id: str) -> str | None:
        """Return the address of a node's machine; ``None`` for an unknown node, and on a machine
        that has none. Raises ``Busy``, for a node that is unknown so far.
        """
        if not self.is_shared:
            return None
        node = self._node(node_id)
        return None if node is None else node.url

    def is_here(self, node_id: str) -> bool:
        """Return whether a node is of this machine. Raises ``Busy``, for a node that is unknown so
        far.
        """
        if not self.is_shared:
            return True
        node = self._node(node_id)
        return node is not None and node.machine_id == self._machine_id

    def elsewhere(self) -> list[str]:
        """Return the ids of the nodes of other machines that are up."""
        return list(self._elsewhere)

    def _node(self, node_id: str) -> Node | None:
        with self._lock:
            node = self._known.get(node_id)
        if node is None:
            node = self._find(node_id)
            if node is not None:
                with self._lock:
                    self._note(node)
        return node

    def _note(self, node: Node) -> None:
        # The nodes that were up last are at the end.
        self._known.pop(node.id, None)
        self._known[node.id] = node
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
