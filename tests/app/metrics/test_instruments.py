"""What is counted of a search with a bundle."""

from collections.abc import Callable

from httpx import AsyncClient

from app.services import Services
from tests.app.bundles.conftest import SUBJECTS, Publish
from tests.app.metrics.test_routes import tell


async def test_where_a_face_was_searched_is_counted(
    client: AsyncClient, services: Services, publish: Publish, picture: Callable[[str], bytes]
) -> None:
    bundle_id = await publish(0.5)
    answer = await client.post("/identify", files={"image": picture("obama2")})
    (face,) = answer.json()["faces"]
    told = await tell(client)

    assert told["cohort_clusters_searched_sum"]["default",] == len(face["routing"]["clusters"])
    share = told["cohort_vote_share_sum"]["default",]
    assert round(share, 4) == face["routing"]["vote_share"]
    assert 0 < told["cohort_penetration_rate_sum"]["default",] < 1
    assert told["cohort_bundle_info"] == {(bundle_id, "default"): 1}
    trained = services.galleries.find("default").gallery.trained
    assert trained is not None
    assert told["cohort_bundle_loaded_bytes"]["default",] == trained.subnets.loaded_bytes > 0
    assert 0 <= told["cohort_bundle_age_seconds"]["default",] < 60
    assert told["cohort_gallery_subjects"]["default",] == SUBJECTS
    assert told["cohort_gallery_changed_share"]["default",] == 0


async def test_without_a_bundle_there_is_no_preselection(
    client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    await client.post("/enroll", files={"images": picture("obama")})
    await client.post("/identify", files={"image": picture("obama2")})
    told = await tell(client)
    assert told["cohort_clusters_searched_count"] == {}
    assert told["cohort_bundle_info"] == {}
