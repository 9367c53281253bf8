"""Problems of nodes: each is one sentence, and clocks are judged within the round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.cli.clock_readings import ClockReading, read_clock
from service.cli.node_problems import (
    NodeAnswer,
    describe_node,
    node_problems,
    problem,
)
from service.domain.nodes import ListedNode, Node, NodeState

DATABASE = ClockReading(offset=0, error=5)


def a_node(name: str, machine: str = "one", **changes: object) -> ListedNode:
    url = f"https://{machine}.example.com"
    node = Node(f"nd_{name}", machine, 1, "1.0", url=url)
    return ListedNode(replace(node, **changes), up=90_000, silent=100)


def clock(offset: int, error: int = 5) -> NodeAnswer:
    return NodeAnswer(took=2 * error, clock=ClockReading(offset, error))


def problems(listed: Sequence[ListedNode], **answers: NodeAnswer) -> list[str]:
    found = {f"nd_{name}": answer for name, answer in answers.items()}
    return list(node_problems(listed, found, DATABASE))


def test_nodes_that_answer_have_no_problem() -> None:
    listed = [a_node("a"), a_node("b"), a_node("c", "two", state=NodeState.DRAINING)]
    assert problems(listed, a=clock(0), b=clock(0), c=clock(1_990)) == []


def test_silent_node_is_one_sentence() -> None:
    gone = replace(a_node("a"), silent=12_345)
    [sentence] = problems([gone])
    assert sentence.startswith("Node nd_a has sent no heartbeat for 12 s:")


def test_node_without_an_address_matters_beside_other_machines() -> None:
    alone = [a_node("a", url=None), a_node("b", url=None)]
    assert problems(alone) == []
    [sentence] = problems([alone[0], a_node("c", "two")], c=clock(0))
    assert sentence.startswith("Node nd_a has no NODE_URL,")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "All machines need the same API_SECRET"),
        (429, "All machines need the same API_SECRET"),
        (404, "Correct NODE_URL"),
        (502, "does not reach its machine"),
        (200, "Something other than Patchbay"),
        (None, "Correct the name, the certificate or the proxy"),
    ],
)
def test_missing_answer_has_a_remedy(status: int | None, words: str) -> None:
    sentence = problem("Node nd_a does not answer.", status)
    assert sentence.startswith("Node nd_a does not answer. ")
    assert words in sentence
    assert problems([a_node("a")], a=NodeAnswer(problem=sentence)) == [sentence]


def test_refusal_of_the_node_itself_has_none() -> None:
    assert problem("Node nd_a refuses: It ends.", 200, has_refused=True).endswith("It ends.")


def test_different_versions_are_one_sentence() -> None:
    listed = [a_node("a"), a_node("b", version="2.0")]
    [sentence] = problems(listed, a=clock(0), b=clock(0))
    assert "(nd_a 1.0, nd_b 2.0)" in sentence
    gone = replace(listed[1], silent=10_000)
    assert "versions" not in " ".join(problems([listed[0], gone]))


def test_clock_that_is_off_is_named_once_for_each_machine() -> None:
    listed = [a_node("a"), a_node("b"), a_node("c", "two")]
    by_database, by_other = problems(listed, a=clock(3_000, 400), b=clock(3_000), c=clock(-10))
    assert by_database.startswith(
        "The clock of https://one.example.com is at least 3.0 s ahead of the database's:"
    )
    assert by_other.startswith(
        "The clock of https://one.example.com is at least 3.0 s ahead of that of https://two."
    )


def test_clocks_may_differ_as_much_as_the_round_trip_hides() -> None:
    listed = [a_node("a"), a_node("c", "two")]
    assert problems(listed, a=clock(-2_500, 600), c=clock(0)) == []
    assert len(problems(listed, a=clock(-2_500, 400), c=clock(0))) == 2


def test_reading_of_a_clock_is_bounded_by_its_round_trip() -> None:
    times = iter([1_000, 1_100])
    reading = read_clock(lambda: next(times), lambda: 6_050)
    assert reading == ClockReading(offset=5_000, error=51)
    assert reading.apart(ClockReading(0, 49)) == 4_900
    assert read_clock(lambda: 0, lambda: None) is None


def test_node_is_described() -> None:
    assert dict(describe_node(a_node("a"), clock(-250), DATABASE)) == {
        "state": "serving",
        "up for": "0 h 01 min",
        "version": "1.0",
        "answer": "after 10 ms",
        "clock": "0.250 s behind the database's, give or take 0.010 s",
    }
    draining = describe_node(a_node("a", state=NodeState.DRAINING), None, DATABASE)
    assert dict(draining)["state"].startswith("draining: ")
    gone = dict(describe_node(replace(a_node("a"), silent=10_000), None, DATABASE))
    assert (gone["state"], gone["answer"]) == ("gone", "none")
