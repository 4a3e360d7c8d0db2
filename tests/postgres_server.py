"""A PostgreSQL server of one's own, in a temporary folder, reached through a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


def programs() -> Path | None:
    """Where the newest `postgres` and `initdb` are (Debian keeps them off the PATH); None if there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


class PostgresServer:
    """Started by `start`, killed by `kill`, started again on the same data."""

    def __init__(self) -> None:
        folder = programs()
        if folder is None:
            raise FileNotFoundError("no PostgreSQL server (apt-get install postgresql)")
        self._programs = folder
        self.folder = Path(
            tempfile.mkdtemp(prefix="visrec-pg-")
        )  # a short path: that of a socket has 107 bytes
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:  # the server refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        words = ["-D", "data", "-U", "visrec", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._call("initdb", *words)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["-D", "data", "-k", str(self.folder), "-c", "listen_addresses=", "-c", "max_connections=60"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", *words], cwd=self.folder, stdout=log, stderr=log, **self._as
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.answers():
                return
            time.sleep(0.05)
        raise TimeoutError((self.folder / "log").read_text())

    def answers(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        try:
            psycopg.connect(host=str(self.folder), user="visrec", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def database(self, name: str) -> str:
        """Make an empty place for tables; its URL. A schema, which is made much quicker than a database."""
        import psycopg

        with psycopg.connect(host=str(self.folder), user="visrec", dbname="postgres") as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"postgresql://visrec@/postgres?host={self.folder}&options=-csearch_path%3D{name}"

    def kill(self) -> None:
        """As a power cut would: kill -9, the server and its children, with nothing written down."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [self._process.pid, *map(int, children)]:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it and remove its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": connections are cut
            self._process.wait(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words], cwd=self.folder, capture_output=True, check=False, **self._as
        )
        assert done.returncode == 0, done.stderr.decode()
