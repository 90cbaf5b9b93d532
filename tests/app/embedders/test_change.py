import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg
import pytest
from httpx import AsyncClient

from app.bundles import repository as bundle_repository
from app.database import Database
from app.embedders import change
from app.embedders.change import Changed, change_embedder
from app.embedders.refusals import ChangeRefused
from app.embedders.repository import Counts
from app.services import Services
from app.settings import Settings
from models.bundle_format import BundleInvalid
from tests.app.bundles.conftest import publish_drawn, take_up_subjects, training_elsewhere
from tests.app.embedders.conftest import PEOPLE, Replica, Start, enrol, varied, who
from tests.app.embedders.other import NAME

Picture = Callable[[str], bytes]
DEFAULT = "mobilefacenet-192"


@pytest.fixture
async def replica(start: Start, both: Settings) -> Replica:
    """A service with both embedders, whose default collection keeps pictures."""
    client, services = await start(both)
    await client.patch("/collections/default", json={"keep_pictures": True})
    return client, services


async def enrol_people(client: AsyncClient, picture: Picture, *, each: int = 1) -> None:
    for person in PEOPLE:
        subject = (await enrol(client, picture(person), external_id=person))["subject"]
        for number in range(1, each):
            await enrol(client, varied(picture(person), number), subject_id=subject["subject_id"])


async def to_other(
    services: Services, *, to: str = NAME, tell: Callable[[Counts], None] = lambda _: None
) -> Changed:
    return await change_embedder(
        "default",
        to,
        database=services.database,
        vault=services.vault,
        embedders=services.embedders,
        workers=2,
        tell=tell,
    )


def rows(services: Services, table: str) -> int:
    with psycopg.connect(services.database.address) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    assert row is not None
    return int(row[0])


def locks(services: Services) -> int:
    """Count the advisory locks that are held."""
    with psycopg.connect(services.database.address) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def follow(services: Services, embedder: str) -> None:
    async with asyncio.timeout(10):
        while services.galleries.find("default").embedder_name != embedder:
            await asyncio.sleep(0.02)


async def test_the_templates_are_those_of_an_enrolment_by_the_other_embedder(
    replica: Replica, picture: Picture
) -> None:
    client, services = replica
    await enrol_people(client, picture, each=2)
    told: list[Counts] = []
    assert await to_other(services, tell=told.append) == Changed(6, 0)
    assert told[-1] == Counts(6, 6, 0)
    await follow(services, NAME)
    for person, other_picture in zip(PEOPLE, ("obama2", "biden", "astronaut"), strict=True):
        assert await who(client, picture(other_picture)) == (NAME, person)
    # The slow twin: the same people enrolled in a collection that never had another embedder.
    await client.post("/collections", json={"name": "twin", "embedder": NAME})
    for person in PEOPLE:
        body = await enrol(client, picture(person), external_id=person, collection="twin")
        subject_id = body["subject"]["subject_id"]
        await enrol(client, varied(picture(person), 1), subject_id=subject_id)
    changed, twin = services.galleries.find("default"), services.galleries.find("twin")
    assert changed.gallery.dimension == twin.gallery.dimension == 160
    by_name = {label.external_id: subject for subject, label in changed.labels.items()}
    for subject_id, label in twin.labels.items():
        np.testing.assert_allclose(
            changed.gallery.templates_of(by_name[label.external_id]),
            twin.gallery.templates_of(subject_id),
            atol=1e-6,
        )
    assert rows(services, "variants") == 2 * rows(services, "samples") == 24
    assert rows(services, "next_templates") == 0
    await enrol(client, picture("obama3"), external_id="again", allow_conflict="true")
    shown = (await client.get("/collections/default")).json()
    assert (shown["embedder"]["name"], shown["sample_count"]) == (NAME, 7)


async def test_searches_and_enrolments_go_on_throughout(
    replica: Replica, start: Start, both: Settings, picture: Picture
) -> None:
    client, services = replica
    second, other_services = await start(both)
    await enrol_people(client, picture, each=3)
    await other_services.galleries.follow_changes()
    seen: dict[str, set[str]] = {"first": set(), "second": set()}
    enrolled = 0
    ends = asyncio.Event()

    async def ask(name: str, asked: AsyncClient) -> None:
        while not ends.is_set():
            # A threshold of its own: one person enrolled again and again as somebody else tells the
            # collection that strangers are very much alike.
            embedder, person = await who(asked, picture("obama2"), threshold="0.5")
            # Half of one and half of the other would know nobody.
            assert person == "obama"
            seen[name].add(embedder)

    async def go_on_enrolling() -> None:
        nonlocal enrolled
        while not ends.is_set():
            await enrol(
                client,
                varied(picture("biden"), 20 + enrolled),
                external_id=f"late-{enrolled}",
                allow_conflict="true",
            )
            enrolled += 1

    async def all_have_seen(embedder: str) -> None:
        async with asyncio.timeout(20):
            while enrolled < 2 or any(embedder not in embedders for embedders in seen.values()):
                await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask("first", client))
        group.create_task(ask("second", second))
        group.create_task(go_on_enrolling())
        await all_have_seen(DEFAULT)
        await to_other(services)
        await follow(services, NAME)
        await follow(other_services, NAME)
        await all_have_seen(NAME)
        ends.set()
    assert seen == {"first": {DEFAULT, NAME}, "second": {DEFAULT, NAME}}
    assert len(services.galleries.find("default").gallery) == len(PEOPLE) + enrolled
    with psycopg.connect(services.database.address) as connection:
        sizes = connection.execute("SELECT DISTINCT octet_length(template) FROM samples")
        assert len(sizes.fetchall()) == 1


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not-yet-seen"])
async def test_an_enrolment_that_was_begun_before_is_made_again_by_the_other(
    replica: Replica, picture: Picture, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    client, services = replica
    await enrol_people(client, picture)
    begun, may_go_on = asyncio.Event(), asyncio.Event()
    place = services.inference.place

    @asynccontextmanager
    async def held() -> AsyncIterator[None]:
        begun.set()
        await may_go_on.wait()
        async with place():
            yield

    monkeypatch.setattr(services.inference, "place", held)
    enrolling = asyncio.create_task(
        enrol(client, picture("partial"), external_id="late", allow_conflict="true")
    )
    await begun.wait()
    collection_id = services.galleries.find("default").collection_id
    # Where the gallery here does not follow, the transaction finds it out.
    async with AsyncExitStack() as stack:
        if not seen:
            await stack.enter_async_context(services.galleries._locks[collection_id])
        await to_other(services)
        if seen:
            await follow(services, NAME)
        may_go_on.set()
        await asyncio.sleep(0.5)
        assert services.galleries.find("default").embedder_name == (NAME if seen else DEFAULT)
    await enrolling
    assert await who(client, picture("partial")) == (NAME, "late")


async def test_a_change_that_was_killed_goes_on(
    replica: Replica, picture: Picture, both: Settings, tmp_path: Path
) -> None:
    client, services = replica
    await enrol_people(client, picture, each=4)
    code = (
        "import os, signal, sys\n"
        "from app.embedders import change\n"
        "from app.cli import main\n"
        "change.PORTION = 2\n"
        "made = change._Change.make_some\n"
        "calls = []\n"
        "async def make_some(self, session):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return await made(self, session)\n"
        "change._Change.make_some = make_some\n"
        f"main(['embedder', 'change', 'default', '--to', {NAME!r}])\n"
    )
    environment = command_environment(both)
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], env=environment, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    async with asyncio.timeout(20):  # until the server has noticed, nobody else may change it
        while await asyncio.to_thread(locks, services):
            await asyncio.sleep(0.05)
    assert rows(services, "next_templates") == 6 * 3
    assert await who(client, picture("obama2")) == (DEFAULT, "obama")
    told: list[Counts] = []
    assert (await to_other(services, tell=told.append)).samples == 12
    assert told[0] == Counts(12, 6, 0)
    await follow(services, NAME)
    assert await who(client, picture("obama2")) == (NAME, "obama")


async def test_a_change_that_was_ended_right_after_its_switch_is_completed(
    replica: Replica, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, services = replica
    await enrol_people(client, picture)

    move = change._move_variants
    calls: list[UUID] = []

    async def ended(database: Database, collection_id: UUID) -> None:
        calls.append(collection_id)
        if len(calls) == 2:  # the first one looks for what an earlier call has left
            raise ConnectionError
        await move(database, collection_id)

    monkeypatch.setattr(change, "_move_variants", ended)
    with pytest.raises(ConnectionError):
        await to_other(services)
    monkeypatch.undo()
    assert rows(services, "variants") == 0
    with pytest.raises(ChangeRefused, match="already"):
        await to_other(services)
    assert (rows(services, "variants"), rows(services, "next_templates")) == (6, 0)
    await follow(services, NAME)
    assert await who(client, picture("obama2")) == (NAME, "obama")


def command_environment(settings: Settings) -> dict[str, str]:
    assert settings.database_url is not None
    return {
        **os.environ,
        "COHORT_DATA_DIR": str(settings.data_dir),
        "COHORT_DATABASE_URL": settings.database_url.get_secret_value(),
        "COHORT_FURTHER_EMBEDDERS": ",".join(str(each) for each in settings.further_embedders),
    }


async def test_there_and_back_again(replica: Replica, picture: Picture) -> None:
    client, services = replica
    await enrol_people(client, picture)
    collection_id = services.galleries.find("default").collection_id
    before = {
        label.external_id: services.galleries.find("default").gallery.templates_of(subject)
        for subject, label in services.galleries.find("default").labels.items()
    }
    # A replica that sees neither change but both at once must read anew all the same.
    async with services.galleries._locks[collection_id]:
        await to_other(services)
        await to_other(services, to=DEFAULT)
    await services.galleries.catch_up(collection_id)
    live = services.galleries.find("default")
    assert live.embedder_name == DEFAULT
    for subject, label in live.labels.items():
        np.testing.assert_allclose(
            live.gallery.templates_of(subject), before[label.external_id], atol=1e-6
        )


async def test_verdicts_go_and_those_of_earlier_answers_are_refused(
    replica: Replica, picture: Picture
) -> None:
    client, services = replica
    subject_id = (await enrol(client, picture("obama")))["subject"]["subject_id"]
    answer = await client.post("/identify", files={"image": picture("obama2")})
    verdict = {
        "identification_id": answer.json()["faces"][0]["identification_id"],
        "verdict": "confirmed",
    }
    url = f"/subjects/{subject_id}/feedback"
    assert (await client.post(url, json=verdict)).status_code == 201
    assert await to_other(services) == Changed(1, 1)
    refused = await client.post(url, json=verdict)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_identification")
    await follow(services, NAME)
    answer = await client.post("/identify", files={"image": picture("obama2")})
    verdict["identification_id"] = answer.json()["faces"][0]["identification_id"]
    assert (await client.post(url, json=verdict)).status_code == 201


async def test_the_face_that_was_enrolled_is_found_again_among_others(
    replica: Replica, picture: Picture
) -> None:
    client, services = replica
    faces = (await client.post("/detect", files={"image": picture("partial")})).json()["faces"]
    assert len(faces) > 1
    await enrol(client, picture("partial"), external_id="centre", select="center")
    expected = services.galleries.find("default").gallery
    (subject,) = services.galleries.find("default").labels
    (template,) = expected.templates_of(subject)
    await to_other(services)
    await to_other(services, to=DEFAULT)
    await services.galleries.refresh()
    (again,) = services.galleries.find("default").gallery.templates_of(subject)
    assert float(again @ template) == pytest.approx(1, abs=1e-5)


async def test_samples_without_pictures_are_counted_and_what_is_possible_said(
    replica: Replica, picture: Picture
) -> None:
    client, services = replica
    await enrol_people(client, picture)
    await client.patch("/collections/default", json={"keep_pictures": False})
    await enrol(client, picture("obama3"), external_id="x", allow_conflict="true")
    with pytest.raises(ChangeRefused, match="1 of 4 samples have no kept picture") as refused:
        await to_other(services)
    assert "/admin/collections/NAME/switch" in refused.value.hint
    assert await who(client, picture("obama2"))


async def test_services_that_lack_the_embedder_are_found(
    replica: Replica, start: Start, settings: Settings, picture: Picture
) -> None:
    client, services = replica
    await enrol_people(client, picture)
    await start(settings)
    with pytest.raises(ChangeRefused, match="running without the embedder") as refused:
        await to_other(services)
    assert "GET /version" in refused.value.hint


async def test_a_face_that_is_not_found_again_is_named(replica: Replica, picture: Picture) -> None:
    client, services = replica
    await enrol_people(client, picture)
    sample_id = lose_a_face(services, picture("cat"))
    with pytest.raises(ChangeRefused, match=str(sample_id)):
        await to_other(services)
    assert await who(client, picture("obama2"))
    with psycopg.connect(services.database.address) as connection:
        connection.execute("DELETE FROM samples WHERE id = %s", [sample_id])
    assert (await to_other(services)).samples == 2


def lose_a_face(services: Services, instead: bytes) -> UUID:
    with psycopg.connect(services.database.address) as connection:
        row = connection.execute("SELECT sample_id FROM pictures LIMIT 1").fetchone()
        assert row is not None
        sealed = services.vault.seal(instead, purpose="picture", owner=row[0])
        connection.execute(
            "UPDATE pictures SET content = %s WHERE sample_id = %s", [sealed, row[0]]
        )
    sample_id: UUID = row[0]
    return sample_id


async def test_what_can_not_be(replica: Replica) -> None:
    _, services = replica
    with pytest.raises(ChangeRefused, match="already"):
        await to_other(services, to=DEFAULT)
    with pytest.raises(ChangeRefused, match="No embedder"):
        await to_other(services, to="nobodys")


async def test_only_one_change_at_a_time(
    replica: Replica, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, services = replica
    await enrol_people(client, picture)
    begun, may_go_on = asyncio.Event(), asyncio.Event()
    carry_out = change._carry_out

    async def slowly(*args: object) -> Changed:
        begun.set()
        await may_go_on.wait()
        return await carry_out(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(change, "_carry_out", slowly)
    first = asyncio.create_task(to_other(services))
    await begun.wait()
    with pytest.raises(ChangeRefused, match="being changed already"):
        await to_other(services)
    may_go_on.set()
    assert (await first).samples == 3


async def test_bundles_of_the_embedder_before_are_used_no_more_and_go(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, services = replica
    subjects = await take_up_subjects(services)
    made = await publish_drawn(services, subjects, tmp_path, 0.1)
    assert services.galleries.find("default").bundle_id == made
    forget_samples(services)
    assert (await to_other(services)).samples == 0
    await follow(services, NAME)
    assert services.galleries.find("default").bundle_id is None
    refused = await client.post(f"/admin/bundles/{made}/activate")
    assert (refused.status_code, refused.json()["code"]) == (409, "bundle_damaged")
    await services.bundles.clear_away()
    assert len((await client.get("/admin/bundles")).json()["bundles"]) == 1
    monkeypatch.setattr(bundle_repository, "FOLLOWED_MINUTES", 0)
    await services.bundles.clear_away()
    assert (await client.get("/admin/bundles")).json() == {"bundles": []}


async def test_a_training_from_before_publishes_nothing(replica: Replica, tmp_path: Path) -> None:
    _, services = replica
    subjects = await take_up_subjects(services)
    forget_samples(services)
    collection_id = services.galleries.find("default").collection_id
    async with (
        training_elsewhere(services.database.address),
        services.galleries._locks[collection_id],
    ):
        await to_other(services)
        # Here it is not yet known that the embedder is another.
        with pytest.raises(BundleInvalid, match="embedder was changed"):
            await publish_drawn(services, subjects, tmp_path, 0.1)
    await services.galleries.catch_up(collection_id)
    assert services.bundles.files.folder.exists()
    assert not list(services.bundles.files.folder.iterdir())
    with psycopg.connect(services.database.address) as connection:
        asked = connection.execute("SELECT cancel_requested FROM jobs").fetchone()
    assert asked == (True,)


def forget_samples(services: Services) -> None:
    """Of made-up subjects there are no pictures."""
    with psycopg.connect(services.database.address) as connection:
        connection.execute("DELETE FROM samples")
