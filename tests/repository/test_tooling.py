"""The tools of contributors: ``make help``, the hooks of git and the workflow of GitHub.

All of them call the targets of the Makefile or the same tools as these.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
HOOKS = ROOT / ".pre-commit-config.yaml"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

ACTIONS = {"actions/checkout", "actions/setup-python"}


def targets() -> set[str]:
    (names,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    return set(names.split())


def recipe(target: str) -> list[str]:
    """Command lines of a target, its virtual environment written out."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found
    return [line.strip().replace("$(VENV)", ".venv/bin") for line in found[1].splitlines()]


def hooks() -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load(HOOKS.read_text())["repos"]
    assert repository["repo"] == "local"
    hooks: list[dict[str, Any]] = repository["hooks"]
    return hooks


def jobs() -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return jobs


@pytest.mark.parametrize("arguments", [["help"], []], ids=["help", "no target"])
def test_make_lists_every_target_with_a_short_line(arguments: list[str]) -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        # Without the variables of a make that runs the tests.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        text=True,
        capture_output=True,
        check=True,
    ).stdout.splitlines()
    assert {line.split()[0] for line in listed} == targets()
    for line in listed:
        assert re.fullmatch(r"[a-z]+ +[A-Z].{5,70}", line), line


def test_hooks_run_tools_of_the_virtual_environment() -> None:
    linters = {line.split()[0] for line in recipe("lint")}
    for hook in hooks():
        assert hook["language"] == "system"
        program = shlex.split(hook["entry"])[0]
        assert program in linters
        assert Path(sys.executable).with_name(Path(program).name).exists()
    assert {hook["id"] for hook in hooks()} == {"ruff-check", "ruff-format", "mypy"}


def test_hooks_change_no_file() -> None:
    entries = {hook["id"]: shlex.split(hook["entry"]) for hook in hooks()}
    assert "--fix" not in entries["ruff-check"]
    assert "--check" in entries["ruff-format"]


def test_workflow_calls_targets_of_make_and_the_script_of_ci() -> None:
    commands = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]
    known = {f"make {target}" for target in targets()} | {".ci/run"}
    assert set(commands) <= known
    assert set(commands) == {"make check", ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_workflow_uses_only_githubs_own_actions() -> None:
    used = [step["uses"] for job in jobs().values() for step in job["steps"] if "uses" in step]
    assert {name.partition("@")[0] for name in used} == ACTIONS
    assert all(re.fullmatch(r"[\w/-]+@v\d+", name) for name in used)


def test_workflow_checks_every_supported_python() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    oldest = setup["options"]["python_requires"].removeprefix(">=")
    tried = jobs()["check"]["strategy"]["matrix"]["python"]
    assert tried[0] == oldest
    assert (ROOT / ".python-version").read_text().strip() in tried
    # The interpreters for which make looks, beside those without a version in their name.
    assert set(tried) == set(re.findall(r"\bpython(3\.\d+)\b", MAKEFILE))


def test_workflow_and_hooks_name_no_host() -> None:
    for path in (HOOKS, WORKFLOW):
        assert "://" not in path.read_text()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="This is no checkout of git.")
def test_no_file_of_the_repository_is_ignored() -> None:
    """ruff would not look at it."""
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert ignored.stdout == ""
