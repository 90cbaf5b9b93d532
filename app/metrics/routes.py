"""The route that Prometheus asks."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.deps import MetricsReader, ServicesDep
from app.metrics import service
from app.problems import InvalidKey, MissingKey, MissingScope, problems

router = APIRouter(tags=["operations"], responses=problems(MissingKey, InvalidKey, MissingScope))


@router.get("/metrics", summary="What is there to see?", response_class=PlainTextResponse)
async def metrics(_caller: MetricsReader, services: ServicesDep) -> Response:
    """Give the metrics in Prometheus' text format. Scope `metrics`.

    docs/reference/metrics.md says what each one means.
    """
    return Response(await service.render(services), media_type=CONTENT_TYPE_LATEST)
