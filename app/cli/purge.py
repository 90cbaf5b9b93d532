"""`cohort purge`: deletes now what its time is over for, directly in the database."""

import asyncio
from typing import TYPE_CHECKING

from app.cli.configuration import load_settings
from app.cli.output import answers

if TYPE_CHECKING:
    from app.retention.service import Purged


def purge() -> None:
    """Delete now what has been kept for as long as it may be.

    A running service does this of itself every ten minutes; this command waits until it is done,
    and says what it did. It works on the database itself: set COHORT_DATA_DIR or
    COHORT_DATABASE_URL as the service has them. Running services find within a second who was
    erased.

    Examples:
    * `cohort purge`
    """
    purged = asyncio.run(_purge())
    answers.print(f"subjects erased: {purged.subjects}")
    answers.print(f"pictures deleted: {purged.pictures}")
    answers.print(f"audit entries deleted: {purged.audit_entries}")


async def _purge() -> "Purged":
    from app.bundles.files import BundleFiles
    from app.cli.start_errors import start_errors_as_failures
    from app.database import opened_database
    from app.logs import configure_logs
    from app.retention.service import purge

    settings = load_settings()
    configure_logs("WARNING")
    # Only to be asked who is in which bundle; one that lies elsewhere may hold anybody.
    bundle_files = BundleFiles(
        folder=settings.data_dir / "bundles",
        subnet_memory_bytes=settings.subnet_memory_bytes,
        threads=settings.inference_threads,
    )
    with start_errors_as_failures():
        async with opened_database(settings) as database:
            purged = await purge(
                database=database, settings=settings, holds=bundle_files.holds, wait=True
            )
    assert purged is not None  # noqa: S101  (we have waited)
    return purged
