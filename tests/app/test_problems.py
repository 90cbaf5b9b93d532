import ast
import re
from collections.abc import Iterator
from pathlib import Path

from app import problems
from app.problems import IMAGE_PROBLEMS, MEDIA_TYPE, Problem

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "reference" / "problems.md").read_text()


def classes() -> list[type[Problem]]:
    return Problem.__subclasses__()


def reasons_in_code() -> Iterator[str]:
    """Every reason that a `Rejection` is made with."""
    for path in (ROOT / "app" / "subjects").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Rejection":
                reason = node.args[0]
                if isinstance(reason, ast.Constant):
                    yield str(reason.value)


def test_every_code_is_documented_with_its_status_and_nothing_else_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| .+ \| .+ \|$", DOCUMENT, re.MULTILINE)
    assert {code: int(status) for code, status in rows} == {
        problem.code: problem.status for problem in classes()
    }
    assert len(rows) == len(classes())


def test_every_reason_is_documented_and_nothing_else_is() -> None:
    section = DOCUMENT.split("### Reasons of rejected pictures")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(reasons_in_code())


def test_codes_are_unique_and_each_class_has_its_own_words() -> None:
    assert len({problem.code for problem in classes()}) == len(classes())
    assert len({problem.title for problem in classes()}) == len(classes())


def test_the_document_has_the_members_of_rfc_9457_and_ours() -> None:
    problem = problems.ExternalIdTaken("It is taken.", subject_id="7")
    assert problem.document("r1") == {
        "type": "urn:cohort:problem:external_id_taken",
        "title": "Another subject has this external_id",
        "status": 409,
        "detail": "It is taken.",
        "code": "external_id_taken",
        "request_id": "r1",
        "subject_id": "7",
    }


def test_image_problems_are_those_that_decoding_refuses_with() -> None:
    decode = (ROOT / "models" / "decode.py").read_text()
    raised = re.findall(r'PictureRefused\(\s*"(\w+)"', decode)
    assert set(raised) == set(IMAGE_PROBLEMS)


def test_responses_of_one_status_are_described_together() -> None:
    responses = problems.problems(
        problems.SubjectNotFound, problems.CollectionNotFound, problems.MissingKey
    )
    assert responses.keys() == {404, 401}
    assert responses[404]["description"] == "`subject_not_found`, `collection_not_found`"
    examples = responses[404]["content"][MEDIA_TYPE]["examples"]
    assert examples["subject_not_found"]["value"]["status"] == 404
