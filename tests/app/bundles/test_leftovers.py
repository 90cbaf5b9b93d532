import os
import time
from pathlib import Path

import pytest

from app.bundles import grace
from app.bundles.leftovers import IDLE_S
from app.services import Services
from tests.app.bundles.conftest import Publish

NOBODYS = "0" * 64


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
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
    await services.bundles.clear_leftovers()
    assert not unknown.exists()
    assert services.bundles.files.is_sound(made)


async def test_what_another_process_may_be_fetching_stays_until_it_is_idle(
    services: Services,
) -> None:
    folder = services.bundles.files.folder
    under_way = put_there(folder / f"{NOBODYS}.1.unfinished")
    left = put_there(folder / f"{NOBODYS}.2.unfinished", idle_s=2 * IDLE_S)
    await services.bundles.clear_leftovers()
    assert (under_way.exists(), left.exists()) == (True, False)


async def test_a_bundle_on_its_way_here_is_no_leftover(services: Services) -> None:
    folder = put_there(services.bundles.files.folder / NOBODYS)
    services.bundles._on_their_way.add(NOBODYS)
    await services.bundles.clear_leftovers()
    assert folder.exists()
    services.bundles._on_their_way.discard(NOBODYS)
    await services.bundles.clear_leftovers()
    assert not folder.exists()
