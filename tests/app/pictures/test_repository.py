import asyncio

import psycopg
from fastapi import FastAPI
from httpx import AsyncClient

from app.pictures.repository import delete_outlived
from app.services import Services
from tests.app.pictures.test_routes import keeping
from tests.app.subjects.test_service import Picture, enrol

__all__ = ["keeping"]  # a fixture


async def test_an_outlived_picture_that_others_are_at_is_not_waited_for(
    keeping: AsyncClient, app: FastAPI, picture: Picture
) -> None:
    services: Services = app.state.services
    await keeping.patch("/collections/default", json={"picture_days": 1})
    await enrol(keeping, picture("obama2"), picture("obama3"))

    async def delete() -> int:
        async with asyncio.timeout(5), services.database.transaction() as session:
            return await delete_outlived(session, limit=10)

    assert await delete() == 0
    with psycopg.connect(services.database.address) as connection:
        connection.execute("UPDATE pictures SET created_at = created_at - interval '2 days'")
    with psycopg.connect(services.database.address) as connection:
        connection.execute("SELECT FROM pictures LIMIT 1 FOR UPDATE")
        assert await delete() == 1
        assert await delete() == 0
    assert await delete() == 1
