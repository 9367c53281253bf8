"""The folder that the workers of a machine share."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.process.machine import FOLDER, LONGEST, WORKER, Machine
from tests.support.paths import ROOT


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
def machine(environ: dict[str, str]) -> Iterator[Machine]:
    machine = Machine.make(environ)
    yield machine
    machine.remove()


def test_only_its_user_can_read_the_folder(machine: Machine) -> None:
    for folder in (machine.folder, machine.metrics):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_was_removed_is_made_again(machine: Machine) -> None:
    machine.expect(1)
    assert not machine.restore()
    assert machine.is_starting()
    machine.remove()
    assert machine.restore()
    for folder in (machine.folder, machine.metrics):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    machine.expect(2)
    assert machine.is_starting()


ABANDON = "from service.process.machine import Machine; print(Machine.make({}).folder)"


def test_the_folder_of_a_killed_machine_is_removed_by_the_next_one(machine: Machine) -> None:
    command = [sys.executable, "-c", ABANDON]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    abandoned = Path(done.stdout.strip())
    assert abandoned.is_dir()
    Machine.remove_abandoned()
    assert not abandoned.exists()
    assert machine.metrics.is_dir()


def test_folders_of_others_are_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    without_counters, shared = tmp_path / "patchbay-notes", tmp_path / "patchbay-shared"
    without_counters.mkdir(mode=0o700)
    shared.mkdir(mode=0o755)
    (shared / "metrics").mkdir()
    link = tmp_path / "patchbay-link"
    link.symlink_to(shared)
    Machine.remove_abandoned()
    assert {*tmp_path.iterdir()} == {without_counters, shared, link}


def test_a_worker_finds_the_folder_in_its_environment(
    machine: Machine, environ: dict[str, str]
) -> None:
    assert Machine.of(environ) == machine
    assert machine.id in environ[FOLDER]
    Machine.forget(environ)
    assert Machine.of(environ) is None


def test_a_worker_finds_the_open_lease_in_its_environment(environ: dict[str, str]) -> None:
    machine = Machine.make(environ, 7)
    machine.remove()
    assert Machine.of(environ) == machine


@pytest.mark.parametrize("environ_of_one", [{}, {FOLDER: ""}])
def test_an_only_worker_has_no_machine(environ_of_one: dict[str, str]) -> None:
    assert Machine.of(environ_of_one) is None


def test_two_machines_have_folders_of_their_own(machine: Machine) -> None:
    other = Machine.make({})
    try:
        assert other.id != machine.id
        assert other.folder != machine.folder
    finally:
        other.remove()


def test_the_path_is_short_where_the_temporary_folder_s_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * LONGEST)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    machine = Machine.make({})
    try:
        assert len(os.fsencode(machine.folder)) <= LONGEST
        assert not list(long.iterdir())
    finally:
        machine.remove()


def test_places_are_unique_and_the_lowest_free_one_is_next(machine: Machine) -> None:
    places = [machine.place() for _ in range(3)]
    assert [number for number, _ in places] == [0, 1, 2]
    os.close(places[1][1])
    number, held = machine.place()
    assert number == 1
    for descriptor in (places[0][1], places[2][1], held):
        os.close(descriptor)


def test_a_machine_tells_whether_a_worker_is_starting(
    machine: Machine, environ: dict[str, str]
) -> None:
    assert not machine.is_starting()
    machine.expect(3)
    machine.expect(4)
    environ[WORKER] = "3"
    worker = Machine.of(environ)
    assert worker is not None
    worker.serves()
    assert machine.is_starting()
    machine.serves(4)
    assert not machine.is_starting()
    # A worker that has served ends as well.
    machine.serves(4)


def test_a_removed_folder_is_removed_once(machine: Machine) -> None:
    machine.expect(1)
    machine.remove()
    machine.remove()
    assert not machine.folder.exists()
