import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.retraining import NotPublished, begin, figures_of, follow
from benchmarks.searches import Answers, enrol_all
from benchmarks.service import running_service

DATA = Path(__file__).parents[1] / "data"
GALLERY = {
    "obama": [DATA / "obama.jpg", DATA / "obama2.jpg"],
    "biden": [DATA / "biden.jpg"],
    "nobody": [DATA / "cat.jpg"],
}

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_a_collection_is_retrained_and_then_searched_with_its_bundle() -> None:
    mated, strangers = [("obama", DATA / "obama3.jpg")], [DATA / "astronaut.jpg"]
    with running_service(sys.executable) as service, closing(service.client()) as client:
        enrolled = enrol_all(service, GALLERY)
        assert enrolled == {"obama": GALLERY["obama"], "biden": GALLERY["biden"]}
        before = Answers.ask(service, mated, strangers, bundle=None)
        looks: list[int] = []

        def look() -> None:
            looks.append(1)
            time.sleep(0.1)  # or it would be asked more often than a key may

        job = follow(client, begin(client), meanwhile=look)
        assert looks
        figures = figures_of(job)
        assert figures["subnets_trained"] == figures["subnets"] == 1
        # Nobody has five pictures, of which some would be tested.
        assert figures["held_out_probes"] == 0
        assert figures["retraining_s"] > 0
        with pytest.raises(RuntimeError, match=job["bundle_id"]):
            Answers.ask(service, mated, strangers, bundle=None)
        after = Answers.ask(service, mated, strangers, bundle=job["bundle_id"])
    for answers in (before, after):
        assert answers.mated[0].rank_of("obama") == 1
        assert answers.observed_fpir == 0
    assert {each["source"] for each in before.mated[0].candidates} == {"live"}
    assert {each["source"] for each in after.mated[0].candidates} == {"bundle"}


def test_a_training_that_fails_is_an_error_that_says_why() -> None:
    # Too little to load torch.
    settings = {"COHORT_TRAINING_MEMORY_BYTES": str(2**28)}
    with running_service(sys.executable, settings) as service, closing(service.client()) as client:
        with pytest.raises(RuntimeError, match="too_few_subjects"):
            begin(client)
        enrol_all(service, GALLERY)
        with pytest.raises(NotPublished, match="failed"):
            follow(client, begin(client))
