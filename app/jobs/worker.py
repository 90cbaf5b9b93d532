"""A worker: runs the jobs of all collections for the services on the same database and Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.batches.service import learn_batches
from app.bundles.keeper import keeping_bundles
from app.freed_memory import giving_back_memory
from app.gallery.follower import following
from app.gallery.hearing import hearing
from app.jobs.alive import showing_life
from app.jobs.claim import RETRAINING
from app.jobs.keeper import keeping
from app.jobs.lane import Lane
from app.jobs.place import place_of
from app.jobs.queue import BATCHES, queue_name
from app.logs import get_logger
from app.services import Services, opened_services
from app.settings import Settings
from models.identifier import QueryPath

log = get_logger()


async def work(
    settings: Settings, open_path: Callable[[Settings], QueryPath], stopping: asyncio.Event
) -> None:
    """Run jobs until `stopping` is set; those under way are given back then.

    Args:
        settings: of the services, with Redis.
        open_path: how the nets are opened.
        stopping: set when it is to end.

    Raises:
        whatever `opened_services` does.
    """
    async with opened_services(settings, open_path) as services:
        learn_batches(services)
        async with (
            keeping_bundles(services.bundles),
            following(services.galleries),
            giving_back_memory(),
            hearing(services.galleries, services.redis),
            keeping(services.jobs, services.galleries, services.database, None),
            _open_lanes(services),
            showing_life(settings.data_dir),
        ):
            await stopping.wait()
            log.info("stopping")


@asynccontextmanager
async def _open_lanes(services: Services) -> AsyncIterator[None]:
    """Take entries from the queues while the block runs."""
    settings, jobs, loop = services.settings, services.jobs, asyncio.get_running_loop()
    assert settings.redis_url is not None  # noqa: S101  (the command asks for it)
    # A retraining can take hours, and batches are not to wait for it.
    queues = [BATCHES]
    if await jobs.can_train():
        queues.append(queue_name(RETRAINING, await asyncio.to_thread(place_of, settings)))
    else:
        log.warning("retraining_unavailable", reason="COHORT_TRAINING_PYTHON has no torch")
    lanes = [
        Lane(
            name,
            settings.redis_url.get_secret_value(),
            lambda job_id: asyncio.run_coroutine_threadsafe(jobs.hands.take(job_id), loop),
        )
        for name in queues
    ]
    for lane in lanes:
        lane.open()
    log.info("ready", queues=queues)
    try:
        yield
    finally:
        # In this order, so that none takes another job when its own has been given back.
        for lane in lanes:
            lane.stop()
        await jobs.hands.close()
        for lane in lanes:
            await asyncio.to_thread(lane.join)
