import os
import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from app.bundles import grace, leftovers
from app.bundles.leftovers import IDLE_S
from app.services import Services
from tests.app.bundles.conftest import Publish, trace

NOBODYS = "0" * 64


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grace, "GRACE_S", 0.0)
    monkeypatch.setattr(leftovers, "STORE_EVERY_S", 0.0)


def put_there(folder: Path, *, idle_s: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").touch()
    then = time.time() - idle_s
    for path in (folder / "file", folder):
        os.utime(path, (then, then))
    return folder


async def test_what_nobody_knows_goes_and_what_is_published_stays(
    services: Services, publish: Publish
) -> None:
    made = await publish(0.1)
    folder = services.bundles.files.folder
    unknown = put_there(folder / NOBODYS)
    await services.bundles.clear_leftovers()
    assert not unknown.exists()
    assert services.bundles.files.is_sound(made)


async def test_what_another_process_may_be_fetching_stays_until_it_is_idle(
    services: Services,
) -> None:
    folder = services.bundles.files.folder
    under_way = put_there(folder / f"{NOBODYS}.1.fetching")
    left = put_there(folder / f"{NOBODYS}.2.fetching", idle_s=2 * IDLE_S)
    await services.bundles.clear_leftovers()
    assert (under_way.exists(), left.exists()) == (True, False)


async def test_what_a_kill_leaves_of_a_deletion_goes_though_it_was_just_written(
    services: Services,
) -> None:
    left = put_there(services.bundles.files.folder / f"{NOBODYS}.unfinished")
    await services.bundles.clear_leftovers()
    assert not left.exists()


async def test_a_receipt_is_completed_after_a_kill_between_a_bundles_row_and_its_files(
    services: Services, publish: Publish
) -> None:
    made = await publish(0.1)
    trace(services, UUID(int=1), made)
    files = services.bundles.files
    with psycopg.connect(services.database.address) as connection:
        connection.execute("DELETE FROM bundles")
        is_cleared = "SELECT cleared_at IS NOT NULL FROM erasure_bundles"
        files.place(made).rename(files.folder / f"{made}.unfinished")
        services.bundles._on_their_way.add(f"{made}.unfinished")  # it can't be removed yet
        await services.bundles.clear_leftovers()
        assert connection.execute(is_cleared).fetchall() == [(False,)]
        services.bundles._on_their_way.clear()
        connection.commit()
        await services.bundles.clear_leftovers()
        assert connection.execute(is_cleared).fetchall() == [(True,)]
    assert files.names() == set()


async def test_a_bundle_on_its_way_here_is_no_leftover(services: Services) -> None:
    folder = put_there(services.bundles.files.folder / NOBODYS)
    services.bundles._on_their_way.add(NOBODYS)
    await services.bundles.clear_leftovers()
    assert folder.exists()
    services.bundles._on_their_way.discard(NOBODYS)
    await services.bundles.clear_leftovers()
    assert not folder.exists()
