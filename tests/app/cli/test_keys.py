"""`cohort keys` beside a running service, on the same embedded Postgres."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.app.cli.conftest import PICTURES, Running, cohort_process


def identify(running: Running, key: str, collection: str = "default") -> int:
    """Status of a call with this key."""
    response = httpx.post(
        f"{running.url}/identify",
        files={"image": (PICTURES / "cat.jpg").read_bytes()},
        data={"collection": collection},
        headers={"Authorization": f"Bearer {key}"},
        trust_env=False,
    )
    return response.status_code


def test_a_key_is_made_used_listed_and_revoked(running: Running) -> None:
    data = {"COHORT_DATA_DIR": str(running.data_dir)}
    made = cohort_process("keys", "create", "--name", "door", "--scope", "identify", **data)
    assert made.code == 0, made.err
    # Nothing but the key, so that it can go into a variable.
    token = re.fullmatch(r"(cohort_([0-9a-f]{8})_[\w-]{43})\n", made.out)
    assert token
    key, key_id = token.groups()
    assert f"key {key_id} (door) for identify" in made.err
    assert identify(running, key) == 200

    listed = cohort_process("keys", "list", **data)
    assert key not in listed.out
    (line,) = (words for words in listed.words if words[0] == key_id)
    assert line[1:3] == ["door", "identify"]
    assert line[-1] == "-"

    # A key that the service has not met is asked for in the database at once.
    other = cohort_process("keys", "create", "--name", "gate", "--scope", "identify", **data)
    revoked = cohort_process("keys", "revoke", other.out.split("_")[1], **data)
    assert (revoked.code, revoked.out) == (0, "")
    assert identify(running, other.out.strip()) == 401


def test_a_key_without_the_scope_may_not(running: Running) -> None:
    made = cohort_process(
        *("keys", "create", "--name", "import", "--scope", "enroll"),
        COHORT_DATA_DIR=str(running.data_dir),
    )
    assert identify(running, made.out.strip()) == 403


@pytest.mark.slow
def test_a_key_of_one_collection_that_ends_is_rotated(running: Running) -> None:
    data = {"COHORT_DATA_DIR": str(running.data_dir)}
    name = running.new_collection()
    made = cohort_process(
        *("keys", "create", "--name", "door", "--scope", "identify", "--scope", "enroll"),
        *("--collection", name, "--expires", "90d", "--rate-limit", "50/minute"),
        **data,
    )
    assert made.code == 0, made.err
    key_id = made.out.split("_")[1]
    until = (datetime.now(UTC) + timedelta(days=90)).strftime("%Y-%m-%d")
    assert f"key {key_id} (door) for enroll, identify in {name}, until {until}" in made.err
    assert identify(running, made.out.strip(), name) == 200
    assert identify(running, made.out.strip(), "default") == 404

    rotated = cohort_process("keys", "rotate", key_id, "--overlap", "30m", **data)
    assert rotated.code == 0, rotated.err
    new_id = rotated.out.split("_")[1]
    assert f"key {new_id} (door) for enroll, identify in {name}, until {until}" in rotated.err
    assert re.search(rf"^{key_id} expires \d{{4}}-", rotated.err, re.MULTILINE)
    for key in (made.out.strip(), rotated.out.strip()):
        assert identify(running, key, name) == 200

    listed = cohort_process("keys", "list", **data)
    (line,) = (words for words in listed.words if words[0] == new_id)
    assert line[1:6] == ["door", "enroll,", "identify", name, "50/minute"]

    revoked = cohort_process("keys", "revoke", key_id, **data)
    assert revoked.code == 0
    again = cohort_process("keys", "rotate", key_id, **data)
    assert again.code == 3
    assert again.err.startswith(f"cohort: The key {key_id} is revoked or expired")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--collection", "nowhere"], 3, "There is no collection nowhere."),
        pytest.param(["--expires", "soon"], 2, "such as 90d", marks=pytest.mark.slow),
        pytest.param(["--rate-limit", "much"], 2, "such as 600/minute", marks=pytest.mark.slow),
    ],
)
def test_what_a_key_can_t_be_given_is_said(
    running: Running, arguments: list[str], code: int, sentence: str
) -> None:
    done = cohort_process(
        *("keys", "create", "--name", "x", "--scope", "identify", *arguments),
        COHORT_DATA_DIR=str(running.data_dir),
    )
    assert (done.code, done.out) == (code, "")
    assert sentence in " ".join(done.err.split())


@pytest.mark.parametrize("command", ["revoke", pytest.param("rotate", marks=pytest.mark.slow)])
def test_an_unknown_id_is_said(running: Running, command: str) -> None:
    done = cohort_process("keys", command, "00000000", COHORT_DATA_DIR=str(running.data_dir))
    assert done.code == 3
    assert done.err.startswith("cohort: There is no key 00000000.\n")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param(
            {"COHORT_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"},
            "The database can't be used",
            id="database-away",
        ),
        pytest.param(
            {"COHORT_DATABASE_POOL_SIZE": "none"},
            "A setting is not valid: COHORT_DATABASE_POOL_SIZE",
            id="setting",
        ),
    ],
)
def test_what_can_be_put_right_is_a_sentence(settings: dict[str, str], sentence: str) -> None:
    done = cohort_process("keys", "list", **settings)
    assert done.code == 3
    assert sentence in done.err
    assert "Traceback" not in done.err
    assert "secret" not in done.err
