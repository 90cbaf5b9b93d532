"""How a job ends that fails of what was done to it: by its own fault, or by another process."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from app.jobs.attended import Attended
from app.jobs.claim import RETRAINING, Claim
from app.jobs.outcome import JobFailed, JobLost, Outcome
from app.jobs.progress import Progress
from app.services import Services
from tests.app.jobs.conftest import RunElsewhere

FOUND_DEAD = "UPDATE jobs SET state = 'failed', finished_at = now(), message = 'dead'"
COLLECTION_DELETED = "DELETE FROM collections"
UNEXPLAINED = "It failed inside the service; the log says why."


class Failing:
    """Work that fails right after something was done to the database."""

    def __init__(self, services: Services, statement: str, error: Exception) -> None:
        self.progress = Progress()
        self.settling = False
        self._address = services.database.address
        self._statement = statement
        self._error = error

    async def do(self) -> Outcome:
        await asyncio.to_thread(self._execute)
        raise self._error

    def _execute(self) -> None:
        with psycopg.connect(self._address) as connection:
            connection.execute(self._statement)

    async def clear(self) -> None:
        """Nothing lies about."""


OF_A_FOLDER = FileNotFoundError("folder")


@pytest.mark.parametrize(
    ("statement", "error", "event", "messages"),
    [
        ("SELECT", JobFailed("It is damaged."), "job_failed", [("It is damaged.",)]),
        ("SELECT", OF_A_FOLDER, "job_failed", [(UNEXPLAINED,)]),
        (FOUND_DEAD, JobFailed("It was ended."), "job_lost_to_others", [("dead",)]),
        (FOUND_DEAD, OF_A_FOLDER, "job_lost_to_others", [("dead",)]),
        (FOUND_DEAD, JobLost(), "job_lost_to_others", [("dead",)]),
        (COLLECTION_DELETED, JobFailed("It was ended."), "job_gone", []),
        (COLLECTION_DELETED, OF_A_FOLDER, "job_gone", []),
        (COLLECTION_DELETED, JobLost(), "job_gone", []),
    ],
)
async def test_the_log_tells_why_a_job_failed_and_what_others_did_stays(
    services: Services,
    write_job: Callable[..., UUID],
    run_elsewhere: RunElsewhere,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    error: Exception,
    event: str,
    messages: list[tuple[str]],
) -> None:
    job_id = write_job()
    collection_id = services.galleries.find("default").collection_id
    claim = Claim(job_id, collection_id, RETRAINING, None, {}, attempt=0)
    work = Failing(services, statement, error)
    with run_elsewhere(job_id):  # else the service would find it dead, too
        await Attended(claim, work, services.database, again=False).run()
    told = [str(record.msg) for record in caplog.records if str(job_id) in str(record.msg)]
    assert [event in each for each in told] == [True]
    with psycopg.connect(services.database.address) as connection:
        found = connection.execute("SELECT message FROM jobs").fetchall()
    assert found == messages
