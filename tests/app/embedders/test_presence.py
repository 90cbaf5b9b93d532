from app.embedders.presence import connection_name, count_without
from app.services import Services
from app.settings import Settings
from models.zoo import EmbedderId
from tests.app.embedders.conftest import Start


async def count(services: Services, embedder: EmbedderId) -> int:
    async with services.database.snapshot() as session:
        return await count_without(session, embedder)


async def test_connections_tell_which_embedders_their_services_run(
    start: Start, both: Settings, settings: Settings
) -> None:
    _, services = await start(both)
    default, other = services.embedders
    assert await count(services, default.known.id) == 0
    assert await count(services, other.known.id) == 0
    await start(settings)
    assert await count(services, default.known.id) == 0
    assert await count(services, other.known.id) > 0


def test_seven_embedders_fit_into_what_postgres_keeps() -> None:
    embedders = [EmbedderId("net", f"{number:064x}"[::-1]) for number in range(7)]
    assert len(connection_name(embedders).encode()) <= 63
