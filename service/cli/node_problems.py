"""Problems of nodes, as sentences: where they are, their versions and their clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from service.cli.clock_readings import ClockReading
from service.clock import Millis
from service.domain.nodes import ListedNode, NodeState

MAX_APART: Millis = 2000
"""Requests between machines are valid for 30 s, and times of calls are compared by people."""


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """A node's answer, or the ``problem`` for which there is none. ``took`` is in milliseconds."""

    took: Millis = 0
    clock: ClockReading | None = None
    problem: str | None = None


REFUSED = (
    "All machines need the same API_SECRET and clocks set by NTP, and a proxy must change "
    "neither the path behind NODE_URL nor the body."
)
REMEDIES = {
    None: "Correct the name, the certificate or the proxy of this address, or NODE_URL.",
    200: "Something other than Patchbay is there: correct NODE_URL or the proxy behind it.",
    403: REFUSED,
    404: "Correct NODE_URL or the proxy behind it.",
    # The machine has refused many requests with 403, and looks only at valid ones.
    429: REFUSED,
}
NOT_BEHIND = "The proxy at this address does not reach its machine."


def problem(sentence: str, status: int | None, *, has_refused: bool = False) -> str:
    """Add to the ``sentence`` of an answer that is missing what can be done about it.

    ``has_refused`` tells whether the node itself has answered with a refusal.
    """
    if has_refused and status == 200:
        return sentence
    return f"{sentence} {REMEDIES.get(status, NOT_BEHIND)}"


def node_problems(
    listed: Sequence[ListedNode],
    answers: Mapping[str, NodeAnswer],
    database: ClockReading | None,
) -> Iterator[str]:
    """Find problems of all nodes. ``answers`` has those of the nodes that were asked."""
    machines = {each.node.machine_id for each in listed}
    for each in listed:
        node, answer = each.node, answers.get(each.node.id)
        if each.has_lapsed:
            yield (
                f"Node {node.id} has sent no heartbeat for {each.silent // 1000} s: it is gone or "
                "stopped, or cut off from the database, and no other node has taken over its calls."
            )
        elif node.url is None and len(machines) > 1:
            yield (
                f"Node {node.id} has no NODE_URL, so that no other machine reaches it: set "
                "NODE_URL on every machine."
            )
        if answer is not None and answer.problem is not None:
            yield answer.problem
    yield from _version_problems(each for each in listed if not each.has_lapsed)
    yield from _clock_problems(_clocks(listed, answers), database)


def _version_problems(up: Iterable[ListedNode]) -> Iterator[str]:
    versions = {each.node.id: each.node.version for each in up}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{node_id} {version}" for node_id, version in versions.items())
        yield f"The nodes are of different versions ({shown}): deploy the same one everywhere."


def _clocks(
    listed: Iterable[ListedNode], answers: Mapping[str, NodeAnswer]
) -> dict[str, ClockReading]:
    """Return the most exact reading of each machine's clock, by the machine's address."""
    clocks: dict[str, ClockReading] = {}
    for each in listed:
        answer, url = answers.get(each.node.id), each.node.url
        if answer is None or answer.clock is None or url is None:
            continue
        if url not in clocks or answer.clock.error < clocks[url].error:
            clocks[url] = answer.clock
    return clocks


def _clock_problems(
    clocks: Mapping[str, ClockReading], database: ClockReading | None
) -> Iterator[str]:
    remedy = "run a time service on all machines."
    for url, clock in clocks.items():
        if database is not None and clock.apart(database) > MAX_APART:
            yield f"The clock of {url} is {_distance(clock, database)} the database's: {remedy}"
    for (one, clock), (other, reference) in combinations(clocks.items(), 2):
        if clock.apart(reference) > MAX_APART:
            yield f"The clock of {one} is {_distance(clock, reference)} that of {other}: {remedy}"


def _distance(clock: ClockReading, reference: ClockReading) -> str:
    direction = "ahead of" if clock.offset > reference.offset else "behind"
    return f"at least {clock.apart(reference) / 1000:.1f} s {direction}"


def describe_node(
    each: ListedNode, answer: NodeAnswer | None, database: ClockReading | None
) -> Iterator[tuple[str, str]]:
    """Describe a node that has an address, as names and texts."""
    state = "gone" if each.has_lapsed else str(each.node.state)
    if each.node.state is NodeState.DRAINING and not each.has_lapsed:
        state = "draining: it hands its calls over, and gets no more"
    yield "state", state
    yield "up for", _duration(each.up)
    yield "version", each.node.version
    if answer is None or answer.clock is None:
        yield "answer", "none"
        return
    yield "answer", f"after {answer.took} ms"
    if database is not None:
        yield "clock", _difference(answer.clock, database)


def _duration(millis: Millis) -> str:
    minutes = millis // 60_000
    return f"{minutes // 60} h {minutes % 60:02} min"


def _difference(clock: ClockReading, reference: ClockReading) -> str:
    offset, error = clock.offset - reference.offset, clock.error + reference.error
    direction = "ahead of" if offset > 0 else "behind"
    distance, bound = abs(offset) / 1000, error / 1000
    return f"{distance:.3f} s {direction} the database's, give or take {bound:.3f} s"
