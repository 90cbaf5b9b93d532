from httpx import AsyncClient

from app.version import VERSION
from models.identifier import QueryPath


async def test_health_and_readiness(stranger: AsyncClient) -> None:
    assert (await stranger.get("/healthz")).json() == {"status": "ok"}
    ready = {"status": "ready", "database": "reachable"}
    assert (await stranger.get("/readyz")).json() == ready


async def test_version(client: AsyncClient, query_path: QueryPath) -> None:
    assert (await client.get("/version")).json() == {
        "name": "cohort",
        "version": VERSION,
        "embedder": query_path.embedder.manifest.name,
        "embedders": [
            {
                "name": query_path.embedder.manifest.name,
                "sha256": query_path.embedder.manifest.sha256,
            }
        ],
        "provider": "cpu",
    }
