import os
import shutil
import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from app.bundles import grace
from app.bundles.files import IDLE_S
from app.services import Services
from tests.app.bundles.conftest import Publish, trace

NOBODYS = "0" * 64


@pytest.fixture(autouse=True)
def no_waiting(rounds_are_rare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grace, "GRACE_S", 0.0)


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
    await services.bundles.clear_here()
    assert not unknown.exists()
    assert services.bundles.files.is_sound(made)


async def test_what_another_process_may_be_fetching_stays_until_it_is_idle(
    services: Services, publish: Publish
) -> None:
    active = await publish(0.1)
    folder = services.bundles.files.folder
    under_way = put_there(folder / f"{active}.1.fetching")
    left = put_there(folder / f"{active}.2.fetching", idle_s=2 * IDLE_S)
    await services.bundles.clear_here()
    assert (under_way.exists(), left.exists()) == (True, False)


async def test_what_a_kill_leaves_of_a_deletion_goes_though_it_was_just_written(
    services: Services,
) -> None:
    left = put_there(services.bundles.files.folder / f"{NOBODYS}.unfinished")
    await services.bundles.clear_here()
    assert not left.exists()


def cleared(services: Services) -> dict[str, bool]:
    """Of each bundle on receipts, whether they tell that it is gone."""
    with psycopg.connect(services.database.address) as connection:
        query = "SELECT bundle_id, cleared_at IS NOT NULL FROM erasure_bundles"
        return dict(connection.execute(query).fetchall())


def forget_row(services: Services, bundle_id: str) -> None:
    """Delete a bundle's row, as another process does or one that is killed right after it."""
    with psycopg.connect(services.database.address) as connection:
        connection.execute("DELETE FROM bundles WHERE id = %s", [bundle_id])


def begin_training(services: Services) -> None:
    """Have some process be at a training."""
    with psycopg.connect(services.database.address) as connection:
        connection.execute(
            "INSERT INTO jobs (id, collection_id, state, progress, message, options, metrics,"
            " cancel_requested) SELECT gen_random_uuid(), id, 'running', 0, '', '{}', '{}', false"
            " FROM collections"
        )


async def test_a_receipt_waits_for_what_a_kill_left_of_a_bundle(
    services: Services, publish: Publish
) -> None:
    made, other = await publish(0.1), await publish(0.3)
    trace(services, UUID(int=1), made)
    files = services.bundles.files
    forget_row(services, made)
    files.place(made).rename(files.folder / f"{made}.unfinished")
    await services.bundles.complete_receipts()
    assert cleared(services) == {made: False}
    await services.bundles.clear_here()
    await services.bundles.complete_receipts()
    assert cleared(services) == {made: True}
    assert files.names() == {other}


async def test_what_was_erased_waits_for_no_training_and_what_may_be_published_does(
    services: Services, publish: Publish
) -> None:
    first, second = await publish(0.1), await publish(0.3)
    trace(services, UUID(int=1), first)
    begin_training(services)
    unknown = put_there(services.bundles.files.folder / NOBODYS)
    forget_row(services, first)
    await services.bundles.clear_here()
    assert services.bundles.files.names() == {second, unknown.name}


async def test_what_can_not_be_removed_keeps_nothing_else(
    services: Services, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await publish(weight) for weight in (0.1, 0.3, 0.5)]
    stuck = made[0]
    for number, bundle_id in enumerate(made):
        trace(services, UUID(int=number), bundle_id)
        forget_row(services, bundle_id)
    really_remove = shutil.rmtree

    def remove(path: Path, *, ignore_errors: bool = False) -> None:
        if stuck not in path.name:
            really_remove(path, ignore_errors=ignore_errors)
        elif not ignore_errors:
            raise PermissionError(path)

    monkeypatch.setattr(shutil, "rmtree", remove)
    monkeypatch.setattr(services.galleries, "bundles_in_use", set)
    for _ in range(3):
        with pytest.raises(PermissionError):
            await services.bundles.clear_here()
        await services.bundles.complete_receipts()
        assert services.bundles.files.names() == {f"{stuck}.unfinished"}
        assert cleared(services) == {stuck: False, made[1]: True, made[2]: True}
    monkeypatch.undo()
    await services.bundles.clear_here()
    await services.bundles.complete_receipts()
    assert cleared(services)[stuck]


async def test_a_bundle_on_its_way_here_is_no_leftover(services: Services) -> None:
    folder = put_there(services.bundles.files.folder / NOBODYS)
    services.bundles._on_their_way.add(NOBODYS)
    await services.bundles.clear_here()
    assert folder.exists()
    services.bundles._on_their_way.discard(NOBODYS)
    await services.bundles.clear_here()
    assert not folder.exists()
