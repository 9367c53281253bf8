"""The names that the documents list, compared with the code: addresses, events, commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from flask import Flask

from service import cli
from service.cli.call import call
from service.domain.calls import ENDS, LIVE, EndReason, LadderEvent
from service.domain.webhook_events import CallEvent, RoomEvent
from service.errors import SettingsError
from service.settings import Settings
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").glob("*.md")]
TEXT = "\n".join(page.read_text() for page in PAGES)

METHODS = ("get", "post", "put", "patch", "delete")


def rows(text: str, heading: str) -> set[str]:
    """The names in backticks in the first column of the first table with this heading."""
    table = re.search(rf"^\| `?{heading}`? \|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table, f"no table with the heading {heading}"
    cells = [line.split(" | ")[0] for line in table[1].splitlines()]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_api_page_lists_each_address_once(app: Flask) -> None:
    document = app.test_client().get("/openapi.json").json
    assert document
    served = {
        f"{method.upper()} {re.sub(r'{[^}]+}', ':', path).rstrip('/')}"
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS
    }
    listed = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]+)`", (DOCS / "api.md").read_text())
    assert {re.sub(r":\w+", ":", address) for address in listed} == served


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("status", {*ENDS, *LIVE}),
        ("endReason", set(EndReason)),
        ("event", set(LadderEvent)),
    ],
    ids=["states", "end reasons", "steps of the ladder"],
)
def test_api_page_lists_each_word_of_a_call(heading: str, names: set[str]) -> None:
    assert rows((DOCS / "api.md").read_text(), heading) == {str(name) for name in names}


@pytest.mark.parametrize("event", [*CallEvent, *RoomEvent])
def test_webhooks_page_names_each_event(event: str) -> None:
    assert f"`{event}`" in (DOCS / "webhooks.md").read_text()


def test_documents_name_only_flask_commands_that_exist() -> None:
    app = Flask("commands")
    cli.register(app)
    named = set(re.findall(r"flask --app wsgi ([a-z-]+)", TEXT))
    named |= set(re.findall(r"`flask ([a-z-]+)`", TEXT))
    assert named <= app.cli.commands.keys()


def test_simulator_page_lists_each_option() -> None:
    listed = re.findall(r"--[a-z-]+", " ".join(rows((DOCS / "simulator.md").read_text(), "option")))
    assert sorted(listed) == sorted(
        option for param in call.params for option in param.opts if option.startswith("-")
    )


def test_documents_name_only_targets_of_make_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)\b", TEXT)) <= targets


def test_contributing_lists_each_target_of_make() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    listed = re.findall(r"^\| `make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())


def test_architecture_page_shows_the_layers_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(each for each in contracts["contracts"] if each["type"] == "layers")["layers"]
    page = (DOCS / "architecture.md").read_text()
    shown = re.search(r"^## Layers\n.*?^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown
    assert [line.split() for line in shown[1].splitlines()] == [
        re.split(r" [|:] ", layer) for layer in layers
    ]


def test_architecture_page_lists_each_folder_of_the_service() -> None:
    page = (DOCS / "architecture.md").read_text()
    tree = re.search(r"^service/\n((?:  .*\n)+)", page, re.MULTILINE)
    assert tree
    listed: set[str] = set()
    parent = ""
    for indent, line in re.findall(r"^( +)((?:\w+/ ?)+)", tree[1], re.MULTILINE):
        names = [name.rstrip("/") for name in line.split()]
        if len(indent) == 2:
            (parent,) = names
            listed.add(parent)
        else:
            listed |= {f"{parent}/{name}" for name in names}
    service = ROOT / "service"
    folders = {
        str(path.parent.relative_to(service))
        for path in service.glob("*/**/__init__.py")
        if len(path.relative_to(service).parts) <= 3
    }
    assert listed == folders


PAIR = {"API_KEY": "key", "API_SECRET": "secret"}
SETTINGS = re.findall(
    r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", (DOCS / "settings.md").read_text(), re.MULTILINE
)
DEFAULTS = [(name, default[1:-1]) for name, default, _ in SETTINGS if default.startswith("`")]
RANGES = [
    (name, int(found[1]), int(found[2]))
    for name, _, meaning in SETTINGS
    if (found := re.search(r"\b(\d+) to (\d+)", meaning))
]


@pytest.mark.parametrize(("name", "default"), DEFAULTS, ids=[name for name, _ in DEFAULTS])
def test_settings_page_tells_each_default(name: str, default: str) -> None:
    value = getattr(Settings.from_env(PAIR), name.lower())
    if isinstance(value, Path):
        value = f"./{value.relative_to(Path.cwd())}"
    assert default == ({True: "on", False: "off"}[value] if isinstance(value, bool) else str(value))


@pytest.mark.parametrize(("name", "low", "high"), RANGES, ids=[name for name, *_ in RANGES])
def test_settings_page_tells_each_range(name: str, low: int, high: int) -> None:
    assert getattr(Settings.from_env(PAIR | {name: str(low)}), name.lower()) == low
    assert getattr(Settings.from_env(PAIR | {name: str(high)}), name.lower()) == high
    for beyond in (low - 1, high + 1):
        with pytest.raises(SettingsError):
            Settings.from_env(PAIR | {name: str(beyond)})
