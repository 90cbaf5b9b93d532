"""What a real service says of a whole call, and that no picture is blamed for it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from PIL import Image, ImageEnhance

from app.cli.child_service import running_service
from app.embedded_postgres import EmbeddedPostgres
from tests.app.cli.conftest import PICTURES, Cohort

MAX_REQUEST_BYTES = 60_000


@pytest.fixture(scope="module")
def small_service() -> Iterator[tuple[str, Path]]:
    """A service that takes two or three of the pictures a call; its address and data."""
    folder = Path(tempfile.mkdtemp(prefix="cohort-upload-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COHORT_MAX_REQUEST_BYTES", str(MAX_REQUEST_BYTES))
        with running_service(folder) as client:
            yield client.url, folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def command(
    small_service: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str | Path]:
    """An import of one person with seven pictures."""
    url, data_dir = small_service
    monkeypatch.chdir(tmp_path)
    people = tmp_path / "people"
    (people / tmp_path.name).mkdir(parents=True)
    with Image.open(PICTURES / "obama2.jpg") as opened:
        opened.thumbnail((360, 360))
        for number in range(7):
            brighter = ImageEnhance.Brightness(opened).enhance(0.8 + 0.04 * number)
            brighter.save(people / tmp_path.name / f"{number}.jpg", quality=90)
    options = ("--allow-conflict", "--report", "left.csv")
    key = (data_dir / "admin.key").read_text().strip()
    return ["import", people, "--url", url, "--key", key, *options]


def test_a_call_that_is_too_large_is_made_smaller(
    cohort: Cohort, command: list[str | Path], tmp_path: Path
) -> None:
    pictures = sorted((tmp_path / "people" / tmp_path.name).iterdir())
    assert sum(path.stat().st_size for path in pictures) > MAX_REQUEST_BYTES
    with pictures[3].open("ab") as file:
        file.write(bytes(MAX_REQUEST_BYTES))
    done = cohort(*command)
    assert done.code == 1, done.err
    assert ["enrolled", "6"] in done.words
    (left,) = (tmp_path / "left.csv").read_text().splitlines()[1:]
    assert left.startswith(f"{tmp_path.name}/3.jpg,{tmp_path.name},request_too_large,")
    assert "sent now: 0 of 7" in cohort(*command).err


def test_an_error_of_the_service_stops_the_import_which_then_continues(
    cohort: Cohort, command: list[str | Path], small_service: tuple[str, Path], tmp_path: Path
) -> None:
    postgres = EmbeddedPostgres.start(small_service[1] / "postgres")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE samples RENAME TO away")
        failed = cohort(*command)
        connection.execute("ALTER TABLE away RENAME TO samples")
    postgres.stop()
    assert failed.code == 3, failed.out
    assert "failed (status 500): The request failed; its id finds it in the log." in failed.err
    assert not (tmp_path / "left.csv").exists()
    done = cohort(*command)
    assert done.code == 0, done.out
    assert "sent now: 7 of 7" in done.err


def test_what_is_wrong_with_the_call_is_no_picture_s_fault(
    cohort: Cohort, command: list[str | Path], tmp_path: Path
) -> None:
    file = tmp_path / "staff.csv"
    start = f"path,external_id,name\npeople/{tmp_path.name}/0.jpg,named-{tmp_path.name},"
    staff = ["import", "--csv", file, *command[2:]]
    file.write_text(f"{start}{'x' * 10_000}\n")
    assert cohort(*staff).code == 1
    file.write_text(f"{start}Ada\n")
    done = cohort(*staff)
    assert done.code == 0, done.out
    assert ["enrolled", "1"] in done.words
