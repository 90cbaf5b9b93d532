"""This machine: data directory, private files, room on the disk, descriptors, torch."""

import asyncio
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

from app.doctor.findings import Finding, failed, ok, warning
from app.encryption.service import KEY_FILE, key_file
from app.jobs.child import can_train
from app.settings import Settings

OTHERS = 0o077
FREE_FAILED_BYTES, FREE_WARNING_BYTES = 200 * 2**20, 2 * 2**30
DESCRIPTORS_FAILED, DESCRIPTORS_WARNING = 256, 1024
"""Each connection takes one; so do connections to Postgres, and each open subnet."""
PRIVATE = ("admin.key", KEY_FILE, "audit", "training")
"""In the data directory: keys, who did what, templates."""


def look_at_data_directory(settings: Settings) -> Iterator[Finding]:
    """Is it there, can it be written to, can others read what they must not?"""
    folder = settings.data_dir
    try:
        with TemporaryFile(dir=folder):
            pass
    except FileNotFoundError:
        yield warning(
            "data directory",
            f"{folder} is not there",
            "The first start makes it. If the service has run before, set COHORT_DATA_DIR as the "
            "service has it.",
        )
        return
    except OSError as error:
        yield failed(
            "data directory",
            f"{folder} can't be written to: {error.strerror}",
            "Call this as the service's user; or give it the directory: chown.",
        )
        return
    yield ok("data directory", f"{folder} can be written to")
    yield from _look_at_rights([path for name in PRIVATE if (path := folder / name).exists()])
    key = settings.encryption_key_file
    if key is not None and key.exists() and _is_open_to_others(key):
        yield warning(
            "permissions",
            f"{key} can be read by others than its owner",
            f"chmod 600 {key}. In a container that is the service's alone, nothing.",
        )


def _look_at_rights(private: list[Path]) -> Iterator[Finding]:
    readable = [path for path in private if _is_open_to_others(path)]
    for path in readable:
        yield failed(
            "permissions",
            f"{path} can be read by others than its owner",
            f"chmod {'700' if path.is_dir() else '600'} {path}; if others have been on this "
            "machine, take what it holds for known: revoke the key, or rotate it.",
        )
    if private and not readable:
        yield ok("permissions", f"{len(private)} private files and folders are the owner's alone")


def _is_open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & OTHERS)


def look_at_key_place(settings: Settings) -> Iterator[Finding]:
    """Is the key on the disk that it protects?"""
    path = key_file(settings)
    if settings.encryption_key is not None or not path.exists():
        return
    if settings.database_url is None and path.stat().st_dev == settings.data_dir.stat().st_dev:
        yield warning(
            "encryption key",
            f"{path} is on the same disk as the data",
            "Who takes the disk, or a backup of it, has both. Keep it on another one, or have a "
            "secrets manager mount it: COHORT_ENCRYPTION_KEY_FILE.",
        )


def look_at_disk(settings: Settings) -> Iterator[Finding]:
    """Is there room?"""
    if not settings.data_dir.exists():
        return
    free = shutil.disk_usage(settings.data_dir).free
    text = f"{free / 2**30:.1f} GiB are free in {settings.data_dir}"
    advice = "Make room, or the database and the audit log can't be written: delete former bundles."
    if free < FREE_FAILED_BYTES:
        yield failed("disk", text, advice)
    elif free < FREE_WARNING_BYTES:
        yield warning("disk", text, advice)
    else:
        yield ok("disk", text)


def look_at_descriptors(_settings: Settings) -> Iterator[Finding]:
    """May a process have enough files and connections open?"""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"a process started like this one may have {limit} files and connections open"
    advice = "ulimit -n 65536 before the start; LimitNOFILE= in systemd, ulimits in compose."
    if limit == resource.RLIM_INFINITY or limit >= DESCRIPTORS_WARNING:
        yield ok("descriptors", text)
    elif limit >= DESCRIPTORS_FAILED:
        yield warning("descriptors", text, advice)
    else:
        yield failed("descriptors", text, advice)


def look_at_training(settings: Settings) -> Iterator[Finding]:
    """Is there what training needs?"""
    python = settings.training_python
    if asyncio.run(can_train(python)):
        yield ok("training", f"{python} has torch")
        return
    finding = warning if settings.retrain_share is None else failed
    yield finding(
        "training",
        f"{python} has no torch: this machine can't retrain",
        "make setup-training, and COHORT_TRAINING_PYTHON=.venv-training/bin/python; nothing, if "
        "workers elsewhere train, or nobody does.",
    )
