"""Give the metrics as Prometheus reads them."""

import asyncio
from uuid import UUID

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from app.metrics import repository
from app.metrics.present import Present
from app.metrics.repository import Stored
from app.services import Services

DATABASE_TIMEOUT_S = 2.0
"""Whoever watches wants the rest also while the database is away, and soon."""


async def render(services: Services) -> bytes:
    """Give all metrics in Prometheus' text format; without some while the database is away."""
    stored, behind_s = await _ask_database(services)
    spool_bytes = await asyncio.to_thread(services.audit.spool.size_bytes)
    services.metrics.forget_all_but({live.collection_name for live in services.galleries.all()})
    present = CollectorRegistry()
    present.register(Present(services, stored, behind_s, spool_bytes))
    return generate_latest(services.metrics.registry) + generate_latest(present)


async def _ask_database(services: Services) -> tuple[Stored | None, dict[UUID, float]]:
    async def ask() -> tuple[Stored, dict[UUID, float]]:
        # Taken before the revisions are read: what is applied meanwhile is no lag.
        async with services.database.snapshot() as session:
            stored = await repository.look(session)
            behind_s = {}
            for live in services.galleries.all():
                if stored.revisions.get(live.collection_id, 0) > live.gallery.revision:
                    behind_s[live.collection_id] = await repository.seconds_behind(
                        session, live.collection_id, live.gallery.revision
                    )
        return stored, behind_s

    task = asyncio.create_task(ask())
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    # The driver takes its time to give up a connection; nobody waits for that.
    done, _ = await asyncio.wait({task}, timeout=DATABASE_TIMEOUT_S)
    if not done:
        task.cancel()
        return None, {}
    try:
        return task.result()
    except (SQLAlchemyError, OSError):
        return None, {}
