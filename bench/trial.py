"""Run one trial: a fresh server, a load generator, and the generator's reading."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from bench.job import Job, Reading
from bench.servers import PATCHBAY, ROOT, Server, ServerType, serving

Cores = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Workload:
    """Calls to one server. The participants of a room use these ``dialects`` in turn."""

    server_type: ServerType = PATCHBAY
    room_size: int = 2
    dialects: tuple[str, ...] = ("twilio",)

    def __str__(self) -> str:
        mixed = ", four dialects" if len(self.dialects) > 1 else ""
        return f"rooms of {self.room_size}{mixed}"


class Load:
    """A load generator whose measured window has begun."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        if next(iter(process.stdout or ()), "") != "begin\n":
            raise RuntimeError("The load generator failed.")

    def finish(self) -> Reading:
        """Wait for the end of the run and return its reading."""
        text, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("The load generator failed.")
        return Reading(**json.loads(text))


@contextmanager
def loading(
    workload: Workload, server: Server, calls: int, seconds: int, cores: Cores
) -> Iterator[Load]:
    job = Job(
        port=server.port,
        pids=server.pids,
        calls=calls,
        room_size=workload.room_size,
        dialects=list(workload.dialects),
        token=server.token,
        cores=cores,
        seconds=seconds,
    )
    command = [sys.executable, "-m", "bench.load", json.dumps(asdict(job))]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Load(process)


def trial(workload: Workload, calls: int, seconds: int, cores: Cores) -> Reading:
    with (
        serving(workload.server_type, cores) as server,
        loading(workload, server, calls, seconds, cores) as load,
    ):
        return load.finish()
