"""The pages of a server with two workers: its health, and the node of each call."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browsers import signed_in
from tests.support.patchbays import Patchbay, running_patchbay

HEALTH = "/console/api/health"
ROOM = "node-room-0001"
NODE = re.compile(r"^nd_[a-z0-9]{16}$")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    data = tmp_path_factory.mktemp("data")
    with running_patchbay(data, WEB_CONCURRENCY="2") as patchbay:
        patchbay.eventually(lambda: len(answering(patchbay)) == 2)
        yield patchbay


def answering(patchbay: Patchbay) -> list[str]:
    """Return the nodes that answer, where there are several."""
    _, answer = patchbay.ask("GET", HEALTH)
    return [each["node"] for each in answer["data"].get("nodes", []) if each["process"]]


@pytest.fixture
def page(browser: Browser, machine: Patchbay) -> Iterator[Page]:
    with signed_in(browser, machine) as page:
        yield page


def test_page_shows_the_state_of_the_server_and_its_nodes(machine: Patchbay, page: Page) -> None:
    machine.webhook("twilio", "some-room-0001")
    page.goto("/console/health")
    main = page.locator("main")
    expect(main).to_contain_text("of 400 at most")
    expect(main).to_contain_text("to count the calls in SQLite")
    expect(main).to_contain_text("nothing to measure yet")
    expect(main).to_contain_text("MAX_CALL_SECONDS")
    nodes = page.get_by_role("table", name="Nodes").locator("tbody tr")
    expect(nodes).to_have_count(2)
    for number in range(2):
        node = nodes.nth(number)
        expect(node.locator("code")).to_have_text(NODE)
        expect(node).to_contain_text("serving")
        # The share of a processor is that between two readings.
        expect(node).to_contain_text(re.compile(r"\d+ %"))
        expect(node).to_contain_text(re.compile(r"\d+ MiB"))


def test_node_that_does_not_answer_is_shown_as_such(page: Page) -> None:
    def silence(route: Route) -> None:
        answer = route.fetch()
        document = answer.json()
        silent, gone = document["data"]["nodes"]
        silent["process"] = gone["process"] = None
        gone["stored"] |= {"silentMs": 10_000, "url": "https://voice1.example.com"}
        route.fulfill(response=answer, json=document)

    page.route(f"**{HEALTH}", silence)
    page.goto("/console/health")
    nodes = page.get_by_role("table", name="Nodes")
    expect(nodes.locator(".pill")).to_have_text(["does not answer", "gone"])
    expect(nodes).to_contain_text("https://voice1.example.com, ")


def test_pages_name_the_node_of_a_call(machine: Patchbay, page: Page) -> None:
    with machine.calling(ROOM, caller="+14155550177") as phone:
        phone.wait_for("first-audio")
        page.goto("/console/")
        call = page.locator(".calls-live tbody tr").filter(has_text="+14155550177")
        expect(call.locator(".node")).to_have_text(NODE)
        page.goto(f"/console/rooms/{ROOM}")
        people = page.get_by_role("table", name="Participants in the room now")
        expect(people.locator(".node")).to_have_text(NODE)
