import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from app.postgres_programs import POSTGRES_VERSION

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not under pytest's folder, whose rights pytest itself resets."""
    parent = Path(tempfile.mkdtemp(prefix="cohort-tests-"))
    yield parent / "postgres"
    shutil.rmtree(parent)


def version(url: str) -> str:
    with psycopg.connect(url) as connection:
        (text,) = connection.execute("SHOW server_version").fetchone() or ("",)
        return str(text)


def postmaster(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def is_gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_starts_is_kept_and_stops(folder: Path) -> None:
    server = EmbeddedPostgres.start(folder)
    assert version(server.url).startswith(POSTGRES_VERSION)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    pid = postmaster(folder)
    server.stop()
    wait_until_gone(pid)

    started = time.monotonic()
    again = EmbeddedPostgres.start(folder)
    assert time.monotonic() - started < 5
    with psycopg.connect(again.url) as connection:
        connection.execute("SELECT n FROM kept")
    again.stop()


def test_only_its_own_user_can_enter(folder: Path) -> None:
    server = EmbeddedPostgres.start(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "cluster").stat().st_mode & 0o077 == 0
    server.stop()


def test_the_last_of_those_who_share_it_stops_it(folder: Path) -> None:
    first, second = EmbeddedPostgres.start(folder), EmbeddedPostgres.start(folder)
    pid = postmaster(folder)
    first.stop()
    assert version(second.url)
    second.stop()
    wait_until_gone(pid)


HOLD = """
import sys, time
from pathlib import Path
from app.embedded_postgres import EmbeddedPostgres
print(EmbeddedPostgres.start(Path(sys.argv[1])).url, flush=True)
time.sleep(600)
"""


def test_one_whose_service_was_killed_is_found_again(folder: Path) -> None:
    service = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert service.stdout is not None
    url = next(line.strip() for line in service.stdout if line.startswith("postgresql:"))
    service.kill()
    service.wait()
    service.stdout.close()
    pid = postmaster(folder)
    assert version(url)

    server = EmbeddedPostgres.start(folder)
    assert postmaster(folder) == pid
    server.stop()
    wait_until_gone(pid)


def test_one_that_was_killed_itself_recovers(folder: Path) -> None:
    server = EmbeddedPostgres.start(folder)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    pid = postmaster(folder)
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)

    again = EmbeddedPostgres.start(folder)
    with psycopg.connect(again.url) as connection:
        connection.execute("SELECT n FROM kept")
    again.stop()


def test_a_lock_file_whose_number_another_process_has_is_no_hindrance(folder: Path) -> None:
    server = EmbeddedPostgres.start(folder)
    lock = (folder / "cluster" / "postmaster.pid").read_text()
    server.stop()
    (folder / "cluster" / "postmaster.pid").write_text(
        "\n".join([str(os.getpid()), *lock.splitlines()[1:]])
    )

    again = EmbeddedPostgres.start(folder)
    assert version(again.url)
    again.stop()


def test_a_start_that_was_killed_half_way_is_no_hindrance(folder: Path) -> None:
    (folder / "cluster.new").mkdir(parents=True)
    (folder / "cluster.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres.start(folder)
    assert version(server.url)
    server.stop()


@pytest.mark.parametrize("name", ["with space, and 'quotes'", "long" * 40, "写真の記録" * 12])
def test_any_folder_will_do(folder: Path, name: str) -> None:
    server = EmbeddedPostgres.start(folder.with_name(name))
    assert version(server.url)
    sockets = Path(server.url.split("host=")[1])
    server.stop()
    assert not sockets.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PGPORT", "6543"), ("PGHOSTADDR", "127.0.0.9"), ("PGSERVICE", "none"), ("PGOPTIONS", "-x")],
)
def test_variables_for_another_server_do_not_mislead_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    server = EmbeddedPostgres.start(folder)
    # One who uses the address has the variable.
    if name == "PGPORT":
        monkeypatch.setenv(name, value)
    assert version(server.url)
    server.stop()


def test_an_older_version_s_data_is_not_touched(folder: Path) -> None:
    EmbeddedPostgres.start(folder).stop()
    (folder / "cluster" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 12"):
        EmbeddedPostgres.start(folder)


def test_a_failure_says_where_to_look(folder: Path) -> None:
    EmbeddedPostgres.start(folder).stop()
    (folder / "cluster" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"server\.log"):
        EmbeddedPostgres.start(folder)


AS_ORDINARY_USER = """
import os, pwd, sys
from pathlib import Path
from app.embedded_postgres import EmbeddedPostgres
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    EmbeddedPostgres.start(folder / "as-root").stop()  # imports what the other user may not read
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
EmbeddedPostgres.start(folder / "as-user").stop()
assert (folder / "as-user" / "cluster").stat().st_uid == os.geteuid() != 0
"""


def test_an_ordinary_user_can_run_it(folder: Path) -> None:
    folder.mkdir()
    subprocess.run([sys.executable, "-c", AS_ORDINARY_USER, str(folder)], cwd=ROOT, check=True)
