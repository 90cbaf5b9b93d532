from fastapi import FastAPI
from httpx import AsyncClient

from app.edge.draining import begin_draining


async def test_requests_are_answered_and_no_more_are_asked_for(
    app: FastAPI, client: AsyncClient
) -> None:
    assert "Connection" not in (await client.get("/collections")).headers
    begin_draining(app)
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert (await client.get("/healthz")).status_code == 200
    answer = await client.get("/collections")
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
