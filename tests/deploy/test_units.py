"""The systemd units of ``deploy/``, held to ``gunicorn.conf.py`` and the settings.

systemd itself judges their words and how much of the machine the service may reach.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from service.process import file_descriptors
from service.settings import Settings
from tests.support.installed import installed
from tests.support.paths import ROOT
from tests.support.servers import GUNICORN, PATIENCE, environment

SERVICE = ROOT / "deploy" / "patchbay.service"
SOCKET = ROOT / "deploy" / "patchbay.socket"

EXPOSURE = 17
"""Tenths of systemd's scale, on which 100 is a service that may do everything."""

Unit = Mapping[str, str]


def unit(path: Path) -> dict[str, str]:
    """The values in a unit file by name. Values of a repeated name are joined by newlines."""
    values: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if found := re.fullmatch(r"(\w+)=(.*)", line):
            name, value = found.groups()
            values[name] = f"{values[name]}\n{value}" if name in values else value
    return values


@pytest.fixture(scope="module")
def service() -> Unit:
    return unit(SERVICE)


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """gunicorn's settings as ``gunicorn.conf.py`` makes them from ours as they are by default."""
    env = environment(tmp_path_factory.mktemp("data"), {"DRAIN_SECONDS": ""})
    printed = subprocess.run(
        [*GUNICORN, "--print-config"],
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    return dict(re.findall(r"^(\w+) += (.*)$", printed.stdout, re.MULTILINE))


def seconds(span: str) -> int:
    assert span.isdigit()
    return int(span)


def test_service_starts_gunicorn_with_its_configuration_and_nothing_else(service: Unit) -> None:
    program = Path(service["ExecStart"])
    folder = Path(service["WorkingDirectory"])
    assert program.relative_to(folder) == Path(".venv/bin/gunicorn")
    assert Path(sys.executable).with_name(program.name).exists()
    # gunicorn reads the file from its working directory.
    assert (ROOT / "gunicorn.conf.py").exists()


def test_socket_is_the_address_that_gunicorn_binds_by_default(gunicorn: Unit) -> None:
    assert unit(SOCKET)["ListenStream"] in gunicorn["bind"]


def test_service_needs_its_socket_and_never_gives_up_on_it(service: Unit) -> None:
    assert service["Requires"] == SOCKET.name
    assert SOCKET.name in service["After"].split()
    assert service["Restart"] == "always"
    assert service["StartLimitIntervalSec"] == "0"
    assert SOCKET.stem == SERVICE.stem


def test_stopping_leaves_time_for_the_drain(service: Unit, gunicorn: Unit) -> None:
    assert service["KillMode"] == "control-group"
    assert "KillSignal" not in service
    assert seconds(service["TimeoutStopSec"]) > seconds(gunicorn["graceful_timeout"])


def test_environment_has_settings_that_hold(service: Unit) -> None:
    set_here = dict(re.findall(r"^(\w+)=(\S+)$", service["Environment"], re.MULTILINE))
    assert set_here.keys() <= {field.name.upper() for field in fields(Settings)}
    settings = Settings.from_env({"API_KEY": "key", "API_SECRET": "secret", **set_here})
    assert settings.data_dir == Path("/var/lib") / service["StateDirectory"]


def test_descriptors_are_enough_for_a_hundred_times_the_default_of_max_calls(service: Unit) -> None:
    default = Settings.from_env({"API_KEY": "key", "API_SECRET": "secret"}).max_calls
    assert file_descriptors.too_few(100 * default, int(service["LimitNOFILE"])) is None


def test_service_runs_as_a_user_of_its_own_that_writes_to_one_folder(service: Unit) -> None:
    assert service["User"] == service["Group"] == "patchbay"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert not {"ReadWritePaths", "RuntimeDirectory", "LogsDirectory"} & service.keys()


def test_service_sees_proc_and_may_read_wav_files(service: Unit) -> None:
    """Hardening that breaks Patchbay: see the comment at the end of the file."""
    assert not {"ProtectProc", "ProcSubset", "MemoryDenyWriteExecute"} & service.keys()
    families = set(service["RestrictAddressFamilies"].split())
    assert families == {"AF_INET", "AF_INET6", "AF_UNIX"}


@pytest.fixture
def here(tmp_path: Path, service: Unit) -> Path:
    """A folder with both units, whose program is this repository's gunicorn."""
    program = str(Path(sys.executable).with_name("gunicorn"))
    for path in (SERVICE, SOCKET):
        (tmp_path / path.name).write_text(path.read_text().replace(service["ExecStart"], program))
    return tmp_path


def analyze(*arguments: str, folder: Path) -> None:
    tool = installed("systemd-analyze", required_by="REQUIRE_SYSTEMD")
    judged = subprocess.run(
        [tool, *arguments],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr
    # Words that systemd does not know are warnings only.
    assert "patchbay" not in judged.stderr, judged.stderr


def test_systemd_accepts_the_units(here: Path) -> None:
    analyze("verify", f"./{SERVICE.name}", f"./{SOCKET.name}", folder=here)


def test_systemd_finds_the_service_well_confined(here: Path) -> None:
    analyze(
        *("security", "--offline=yes", f"--threshold={EXPOSURE}", f"./{SERVICE.name}"), folder=here
    )
