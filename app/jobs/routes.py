"""Routes of the retrainings."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from app.deps import Admin, ServicesDep
from app.jobs.events import job_events
from app.jobs.schemas import JobList, JobOut, NewRetraining
from app.problems import (
    CollectionNotFound,
    EmbedderMismatch,
    InvalidKey,
    InvalidRequest,
    JobFinished,
    JobNotFound,
    MissingKey,
    MissingScope,
    RetrainingRuns,
    TooFewSubjects,
    TrainingUnavailable,
    problems,
)

router = APIRouter(
    prefix="/admin",
    tags=["training"],
    responses=problems(MissingKey, InvalidKey, MissingScope, InvalidRequest),
)

JobId = Annotated[UUID, Path(description="The job's id, as `/admin/retrain` gave it.")]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`text/event-stream`: events named `job`, each with the job as JSON.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "Of each event; keep-alives are comments and none.",
                    "properties": {"event": {"const": "job"}, "data": {"type": "string"}},
                    "required": ["event", "data"],
                }
            }
        },
    }
}


@router.post(
    "/retrain",
    status_code=202,
    summary="Retrain a collection",
    responses=problems(
        CollectionNotFound, EmbedderMismatch, RetrainingRuns, TooFewSubjects, TrainingUnavailable
    )
    | {202: {"headers": {"Location": {"description": "The job.", "schema": {"type": "string"}}}}},
)
async def retrain(
    caller: Admin, services: ServicesDep, response: Response, new: NewRetraining
) -> JobOut:
    """Train a bundle from the stored templates, and search with it if it is no worse.

    Scope `admin`. The training is a process of its own, at low priority; `Location` names the
    job that tells of it. In the end its bundle is compared with the active one, on pictures that
    neither was trained with: it is `published` and active from then on, or `rejected`. One job a
    collection at a time.
    """
    job = await services.jobs.start(
        new.collection,
        key_id=caller.key_id,
        full=new.full,
        target_size=new.target_size,
        seed=new.seed,
    )
    response.headers["Location"] = f"/admin/jobs/{job.job_id}"
    return job


@router.get("/jobs", summary="List jobs", responses=problems(CollectionNotFound))
async def list_jobs(
    _caller: Admin,
    services: ServicesDep,
    collection: Annotated[str | None, Query(description="Only this collection's.")] = None,
) -> JobList:
    """List the last hundred retrainings and batches, the newest first. Scope `admin`."""
    return await services.jobs.list(collection)


@router.get("/jobs/{job_id}", summary="Show a job", responses=problems(JobNotFound))
async def get_job(_caller: Admin, services: ServicesDep, job_id: JobId) -> JobOut:
    """Show how far a retraining or a batch is, or how it ended. Scope `admin`."""
    return await services.jobs.get(job_id)


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses=problems(JobNotFound) | _STREAM,
)
async def follow_job(_caller: Admin, services: ServicesDep, job_id: JobId) -> StreamingResponse:
    """Give the job now, at each change, and in its final state, with which the stream ends.

    Scope `admin`. Server-sent events; a comment each ten seconds keeps the connection open. The
    stream ends early when the service stops: ask again.
    """
    job = await services.jobs.get(job_id)
    return StreamingResponse(
        job_events(job, services.jobs),
        media_type="text/event-stream",
        # Proxies are not to wait for more before they pass it on.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.delete(
    "/jobs/{job_id}",
    status_code=202,
    summary="Cancel a job",
    responses=problems(JobNotFound, JobFinished),
)
async def cancel_job(_caller: Admin, services: ServicesDep, job_id: JobId) -> JobOut:
    """Ask for the end of a job; about a second later it is `cancelled`. Scope `admin`.

    What was active stays so, and nothing is left of a training; who was enrolled stays so.
    """
    return await services.jobs.cancel(job_id)
