"""Which data directory a process works on: bundles without a store are shared through it."""

import os
from uuid import uuid4

from app.settings import Settings

PLACE = "place"
"""File in the data directory with a word that no other data directory has."""
ANYWHERE = "store"
"""Stands for all data directories: a bundle store is shared through."""


def place_of(settings: Settings) -> str:
    """Name the place where the bundles of a process can be found; this may write a file.

    Returns:
        The same for two processes if, and only if, each finds what the other publishes.

    Raises:
        OSError: the data directory can't be written to.
    """
    if settings.bundle_store is not None:
        return ANYWHERE
    path = settings.data_dir / PLACE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{PLACE}.{os.getpid()}")
        aside.write_text(uuid4().hex)
        try:
            os.link(aside, path)  # fails if another process has been faster
        except FileExistsError:
            pass
        finally:
            aside.unlink()
    return path.read_text()
