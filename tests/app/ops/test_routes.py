from httpx import AsyncClient

from app.version import VERSION
from models.identifier import QueryPath


async def test_health_readiness_and_version(stranger: AsyncClient, query_path: QueryPath) -> None:
    assert (await stranger.get("/healthz")).json() == {"status": "ok"}
    assert (await stranger.get("/readyz")).json() == {"status": "ready"}
    assert (await stranger.get("/version")).json() == {
        "name": "cohort",
        "version": VERSION,
        "embedder": query_path.embedder.manifest.name,
        "provider": "cpu",
    }
