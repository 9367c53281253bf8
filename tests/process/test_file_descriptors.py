"""File descriptors, in a process that has few."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.process import file_descriptors


def run(program: str, soft: int, hard: int) -> str:
    """Return the output of a program in a process with these limits."""
    prelude = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
    return subprocess.run(
        [
            sys.executable,
            "-c",
            prelude + "import os\nfrom service.process import file_descriptors\n" + program,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout


def test_the_limit_is_raised_as_far_as_it_may() -> None:
    assert (
        run("print(file_descriptors.raise_limit(), file_descriptors.limit())", 64, 512)
        == "512 512\n"
    )


def test_calls_are_refused_before_other_connections() -> None:
    program = """
found = []
for number in range(64):
    try:
        short = file_descriptors.is_short()
        found.append((short, file_descriptors.is_last(os.open(os.devnull, 0))))
    except OSError:
        break
print(found.count((False, False)), found.count((True, False)), found.count((True, True)))
print(file_descriptors.is_short())
"""
    free, short, last = map(int, run(program, 64, 64).splitlines()[0].split())
    assert free > 30
    assert (short, last) == (16, 8)


def test_spare_descriptor_is_available_when_no_other_is() -> None:
    program = """
spare = file_descriptors.Spare()
try:
    while True:
        os.open(os.devnull, 0)
except OSError:
    pass
for _ in range(3):
    with spare.lent():
        number = os.open(os.devnull, 0)
        os.close(number)
print("lent")
"""
    assert run(program, 64, 64) == "lent\n"


@pytest.mark.parametrize(
    ("calls", "allowed", "fits"), [(200, 1024, True), (1000, 1024, False), (200, 256, False)]
)
def test_warning_says_that_the_calls_do_not_fit(calls: int, allowed: int, fits: bool) -> None:
    sentence = file_descriptors.too_few(calls, allowed)
    assert (sentence is None) == fits
    assert sentence is None or (f"MAX_CALLS={calls} " in sentence and sentence.count(".") == 1)
