"""One trial: a fresh server, a load generator, and what the latter says in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from bench.job import Job, Reading
from bench.servers import PATCHBAY, ROOT, Server, Subject, serving

Cores = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Kind:
    """Calls of one kind to one server. Seat by seat, a room has these ``dialects``."""

    subject: Subject = PATCHBAY
    room_size: int = 2
    dialects: tuple[str, ...] = ("twilio",)

    def __str__(self) -> str:
        mixed = ", four dialects" if len(self.dialects) > 1 else ""
        return f"rooms of {self.room_size}{mixed}"


class Load:
    """A load generator whose window has begun."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        if next(iter(process.stdout or ()), "") != "begin\n":
            raise RuntimeError("The load generator failed.")

    def finish(self) -> Reading:
        """What it says in the end."""
        text, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("The load generator failed.")
        return Reading(**json.loads(text))


@contextmanager
def loading(kind: Kind, server: Server, calls: int, seconds: int, cores: Cores) -> Iterator[Load]:
    job = Job(
        port=server.port,
        pids=server.pids,
        calls=calls,
        room_size=kind.room_size,
        dialects=list(kind.dialects),
        token=server.token,
        cores=cores,
        seconds=seconds,
    )
    command = [sys.executable, "-m", "bench.load", json.dumps(asdict(job))]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Load(process)


def trial(kind: Kind, calls: int, seconds: int, cores: Cores) -> Reading:
    with (
        serving(kind.subject, cores) as server,
        loading(kind, server, calls, seconds, cores) as load,
    ):
        return load.finish()
