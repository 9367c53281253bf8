"""The layout of the repository."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

from service.settings import Settings
from tests.support.paths import ROOT

SERVICE = sorted((ROOT / "service").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OURS = [*SERVICE, *TESTS, *EXAMPLES, ROOT / "wsgi.py", ROOT / "gunicorn.conf.py"]

MAX_LINES = 300
AGENT_LINES = 80
STARTERS = {"serving", "refused", "running_patchbay", "Patchbay", "chromium", "signed_in"}
SENTENCE = re.compile(r"\S.*[.:]")
OPENING = re.compile(r"(What|How|Who|Whose|Which|Where|When|Why|Those)\b")
PHRASE = re.compile(r"\b(whoever|whatever|those that|what there is)\b")
SHAPELESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_modules_are_short() -> None:
    assert [name(path) for path in SERVICE if lines(path) > MAX_LINES] == []


def test_agents_among_the_examples_are_shorter_still() -> None:
    agents = [path for path in EXAMPLES if "agent" in path.name]
    assert agents
    assert [name(path) for path in agents if lines(path) >= AGENT_LINES] == []


def test_modules_begin_with_one_sentence_about_themselves() -> None:
    first_lines = {
        name(path): (ast.get_docstring(tree(path)) or "").partition("\n")[0] for path in OURS
    }
    wrong = {path: line for path, line in first_lines.items() if not SENTENCE.fullmatch(line)}
    assert wrong == {}


def docstrings(path: Path) -> Iterator[str]:
    """The texts that stand alone as statements: docstrings, and descriptions of constants."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def test_docstrings_say_plainly_what_something_is() -> None:
    bench = (path for path in (ROOT / "bench").rglob("*.py") if "node_modules" not in path.parts)
    riddles = [
        (name(path), text.partition("\n")[0])
        for path in [*OURS, *bench]
        for text in docstrings(path)
        if OPENING.match(text) or PHRASE.search(text)
    ]
    assert riddles == []


def test_no_module_is_called_something_that_says_nothing() -> None:
    names = {part.removesuffix(".py") for path in OURS for part in path.relative_to(ROOT).parts}
    assert not names & SHAPELESS


def test_the_service_is_told_its_environment_and_never_looks() -> None:
    readers = {
        name(path)
        for path in SERVICE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert readers == set()


def test_tests_have_names_of_their_own() -> None:
    names = [path.name for path in TESTS if path.name.startswith("test_")]
    assert len(names) == len(set(names))


def test_servers_and_browsers_start_only_where_make_check_does_not_look() -> None:
    folders = {
        path.relative_to(ROOT / "tests").parts[0]
        for path in TESTS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.support")
        if STARTERS & {alias.name for alias in node.names}
    }
    left_out = re.search(r"^STARTS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert left_out
    assert folders - {"support", "conftest.py"} <= set(left_out[1].split())


def test_tests_folders_are_no_packages() -> None:
    assert not [name(path) for path in TESTS if path.name == "__init__.py"]


def test_the_settings_page_lists_each_setting_once() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    listed = re.findall(r"^\| *`([A-Z_]+)`", text, re.MULTILINE)
    assert sorted(listed) == sorted(field.name.upper() for field in fields(Settings))
