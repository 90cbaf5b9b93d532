"""The course of a job as server-sent events.

Source of the format: the HTML standard, "Server-sent events".
"""

import asyncio
from collections.abc import AsyncGenerator
from time import monotonic
from uuid import UUID

from app.jobs.schemas import FINAL_STATES, JobOut
from app.jobs.service import Jobs
from app.problems import JobNotFound

LOOK_EVERY_S = 0.3
"""At the row, so that it does not matter which process runs the job."""
KEEP_ALIVE_S = 10.0
"""Proxies close connections that are silent for longer, mostly than 30 or 60 seconds."""
KEEP_ALIVE = b": keep-alive\n\n"


async def job_events(job: JobOut, jobs: Jobs) -> AsyncGenerator[bytes, None]:
    """Give the job as it is, again at each change, and for the last time in its final state.

    It ends without a final state where the job's collection is deleted or the service stops.
    """
    shown, said = job, monotonic()
    yield event(job)
    while shown.state not in FINAL_STATES:
        if await _stops_within(jobs.stopping, LOOK_EVERY_S):
            return
        current = await _now(job.job_id, jobs)
        if current is None:
            return
        if current != shown:
            yield event(current)
            shown, said = current, monotonic()
        elif monotonic() - said >= KEEP_ALIVE_S:
            yield KEEP_ALIVE
            said = monotonic()


def event(job: JobOut) -> bytes:
    """Write one event; JSON has no line breaks, so it is one line."""
    return f"event: job\ndata: {job.model_dump_json()}\n\n".encode()


async def _now(job_id: UUID, jobs: Jobs) -> JobOut | None:
    try:
        return await jobs.get(job_id)
    except JobNotFound:
        return None


async def _stops_within(stopping: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True
