"""How the repository is laid out: what a reader may rely on without looking."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from service.settings import Settings

ROOT = Path(__file__).parents[2]
SERVICE = sorted((ROOT / "service").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OURS = [*SERVICE, *TESTS, *EXAMPLES, ROOT / "wsgi.py", ROOT / "gunicorn.conf.py"]

MAX_LINES = 300
SHAPELESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SERVICE, ids=name)
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", [path for path in EXAMPLES if "agent" in path.name], ids=name)
def test_an_agent_among_the_examples_is_shorter_still(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 80


@pytest.mark.parametrize("path", OURS, ids=name)
def test_a_module_begins_with_one_sentence_about_itself(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, "no docstring"
    first = docstring.splitlines()[0]
    assert re.fullmatch(r"\S.*[.:]", first), first


def test_no_module_is_called_something_that_says_nothing() -> None:
    names = {part.removesuffix(".py") for path in OURS for part in path.relative_to(ROOT).parts}
    assert not names & SHAPELESS


def test_the_service_is_told_its_environment_and_never_looks() -> None:
    readers = {
        name(path)
        for path in SERVICE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert readers == set()


def test_tests_have_names_of_their_own() -> None:
    names = [path.name for path in TESTS if path.name.startswith("test_")]
    assert len(names) == len(set(names))


def test_tests_folders_are_no_packages() -> None:
    assert not [name(path) for path in TESTS if path.name == "__init__.py"]


def test_the_settings_page_lists_each_setting_once() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    listed = re.findall(r"^\| *`([A-Z_]+)`", text, re.MULTILINE)
    assert sorted(listed) == sorted(field.name.upper() for field in fields(Settings))
