"""`cohort worker`: runs jobs for the services, until it is told to stop."""

import asyncio
import os
import signal

from app.cli.configuration import load_settings
from app.cli.output import Failure


def worker() -> None:
    """Run retrainings and batches for the services on the same database and Redis.

    It has the settings of a service (docs/reference/settings.md) and needs COHORT_REDIS_URL; any
    number may run. Retrainings need torch (COHORT_TRAINING_PYTHON), and the data directory of the
    services or their bundle store. Ctrl-C or SIGTERM stops it: what it was at is begun anew by
    another worker, or by the next one that starts.

    Examples:
    * `COHORT_REDIS_URL=redis://localhost cohort worker`
    """
    # At first nothing is open, and an exception in the midst of the import of a compiled module
    # would come out as that module's.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    settings = load_settings()
    if settings.redis_url is None:
        raise Failure(
            "A worker takes its jobs from Redis, and none is named.",
            hint="COHORT_REDIS_URL says where it is; without one, the service runs jobs itself.",
        )
    from app.cli.start_errors import start_errors_as_failures
    from app.jobs.worker import work
    from app.logs import configure_logs
    from app.main import open_query_path

    async def work_until_told() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await work(settings, open_query_path, stopping)

    configure_logs(settings.log_level)
    with start_errors_as_failures():
        asyncio.run(work_until_told())
