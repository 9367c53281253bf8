"""The documents: their length, their links, the paths they name and the parts of a decision."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
)

README_LINES = 150

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# A path with a placeholder (<name>, …, *) stands for several files.
NAMED = re.compile(
    r"(?<![\w./-])(?:service|tests|docs|deploy|bench|examples|\.ci|\.github)"
    r"/[\w./-]*[\w/](?![\w…<*{/-])"
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_paths_exist(page: Path) -> None:
    missing = {path for path in NAMED.findall(page.read_text()) if not (ROOT / path).exists()}
    # Files that a target of make writes.
    assert missing <= {"bench/results.json"}


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_has_a_date_and_three_parts(page: Path) -> None:
    text = page.read_text()
    assert re.match(r"# .+\n\n\d{4}-\d\d-\d\d\n\n## Context\n", text)
    parts = re.findall(r"^## (.+)\n\n(?=\S)", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequence"]


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_link_by_number_leads_to_that_decision(page: Path) -> None:
    links = re.findall(r"\[(\d{4})\]\([^)]*?(\d{4})-[^)]*\)", page.read_text())
    assert [number for number, target in links if number != target] == []


def test_the_index_lists_each_decision_with_its_title() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    listed = re.findall(r"^\| \[(\d{4})\]\((.+)\) \| (.+) \|$", index, re.MULTILINE)
    assert listed == [
        (page.name[:4], page.name, page.read_text().splitlines()[0].removeprefix("# "))
        for page in DECISIONS
    ]


def test_every_page_in_docs_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    pending = list(reached)
    while pending:
        page = pending.pop()
        for link in LINK.findall(page.read_text()):
            path = (page.parent / link.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file() and path not in reached:
                reached.add(path)
                pending.append(path)
    assert [name(page) for page in PAGES if page not in reached] == []
