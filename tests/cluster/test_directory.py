"""The directory: the machine and the address of each node."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from service.cluster.directory import REMEMBERED, Directory
from service.domain.nodes import Node

HERE = Node("nd_here", "machine-1", 1, "1.0", url="https://voice1.example.com")
SIBLING = replace(HERE, id="nd_sibling")
FAR = Node("nd_far", "machine-2", 1, "1.0", url="https://voice2.example.com")


@dataclass
class Rows:
    """The nodes in the database, and the ids for which it was asked."""

    nodes: dict[str, Node] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def find(self, node_id: str) -> Node | None:
        self.read.append(node_id)
        return self.nodes.get(node_id)


def a_directory(*nodes: Node) -> tuple[Directory, Rows]:
    rows = Rows({node.id: node for node in nodes})
    return Directory("machine-1", HERE.url, rows.find), rows


def test_nodes_of_other_machines_are_elsewhere() -> None:
    directory, rows = a_directory()
    directory.update([HERE, SIBLING, FAR])
    assert directory.elsewhere() == ["nd_far"]
    assert [directory.is_here(node.id) for node in (HERE, SIBLING, FAR)] == [True, True, False]
    assert directory.url_of("nd_far") == "https://voice2.example.com"
    assert directory.url_of("nd_sibling") == "https://voice1.example.com"
    assert rows.read == []


def test_addresses_are_those_of_the_machines_that_are_up() -> None:
    directory, _ = a_directory()
    assert directory.urls == ("https://voice1.example.com",)
    directory.update([FAR, HERE, SIBLING])
    assert directory.urls == ("https://voice1.example.com", "https://voice2.example.com")
    directory.update([HERE])
    assert directory.urls == ("https://voice1.example.com",)
    alone = Directory("machine-1")
    alone.update([replace(HERE, url=None)])
    assert alone.urls == ()


def test_an_unknown_node_is_read_once() -> None:
    directory, rows = a_directory(FAR)
    assert directory.url_of("nd_far") == "https://voice2.example.com"
    assert not directory.is_here("nd_far")
    assert rows.read == ["nd_far"]
    assert directory.elsewhere() == []


def test_a_node_without_a_row_has_no_address_until_it_has_one() -> None:
    directory, rows = a_directory()
    assert directory.url_of("nd_far") is None
    assert not directory.is_here("nd_far")
    rows.nodes["nd_far"] = FAR
    assert directory.url_of("nd_far") == "https://voice2.example.com"


def test_the_address_of_a_node_that_has_ended_is_still_known() -> None:
    directory, rows = a_directory()
    directory.update([HERE, FAR])
    directory.update([HERE])
    assert directory.elsewhere() == []
    assert directory.url_of("nd_far") == "https://voice2.example.com"
    assert rows.read == []


def test_nodes_that_were_up_long_ago_are_forgotten() -> None:
    directory, rows = a_directory()
    directory.update([HERE, FAR])
    for number in range(REMEMBERED):
        directory.update([HERE, replace(SIBLING, id=f"nd_{number}")])
    assert directory.is_here("nd_here")
    assert rows.read == []
    assert directory.url_of("nd_far") is None
    assert rows.read == ["nd_far"]


def test_a_machine_without_an_address_has_no_other_beside_it() -> None:
    rows = Rows({"nd_far": FAR})
    directory = Directory("machine-1", None, rows.find)
    directory.update([replace(HERE, url=None), FAR])
    assert directory.elsewhere() == []
    assert directory.url_of("nd_far") is None
    assert directory.is_here("nd_sibling")
    assert rows.read == []
