"""What is counted and timed while requests are answered.

Each service has a registry of its own. No label can have more values than there are routes,
problems or collections: none holds a subject, a key, an address or anything that a client wrote.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from app.gallery.live import LiveGallery
from app.metrics.drift import Drift
from models.identifier import Identification

# When a series began is of no use here, and would be a third of all lines.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

REQUEST_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
STAGE_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
SCORE_BUCKETS = (0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1)
CLUSTER_BUCKETS = (1, 2, 3, 4, 6, 8)
SHARE_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)

OF_COLLECTION = ("collection",)


class Metrics:
    """The instruments of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Histogram(
            "cohort_request_duration_seconds",
            "Until the answer begins.",
            ("method", "route", "status"),
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self.in_progress = Gauge(
            "cohort_requests_in_progress", "Requests that are being answered.", registry=registry
        )
        self.problems = Counter(
            "cohort_problems", "Answers that were problems.", ("code",), registry=registry
        )
        self._stages = Histogram(
            "cohort_stage_duration_seconds",
            "Of a picture, on the way from its bytes to a decision.",
            ("stage",),
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        self._decisions = Counter(
            "cohort_decisions",
            "Faces that were identified.",
            ("collection", "decision"),
            registry=registry,
        )
        self._top_scores = Histogram(
            "cohort_top_score",
            "Score of each face's first candidate.",
            OF_COLLECTION,
            buckets=SCORE_BUCKETS,
            registry=registry,
        )
        self._clusters = Histogram(
            "cohort_clusters_searched",
            "Clusters whose subnets ran for a face.",
            OF_COLLECTION,
            buckets=CLUSTER_BUCKETS,
            registry=registry,
        )
        self._vote_shares = Histogram(
            "cohort_vote_share",
            "Share of the nearest class means' vote that these clusters had.",
            OF_COLLECTION,
            buckets=SHARE_BUCKETS,
            registry=registry,
        )
        self._penetration = Histogram(
            "cohort_penetration_rate",
            "Share of the bundle's classes that lie in these clusters.",
            OF_COLLECTION,
            buckets=SHARE_BUCKETS,
            registry=registry,
        )
        self._drifts: defaultdict[str, Drift] = defaultdict(Drift)
        self._seen: set[str] = set()

    def observe_stages(self, timings_ms: Mapping[str, float]) -> None:
        """Take the milliseconds that the stages of a picture took."""
        for stage, duration_ms in timings_ms.items():
            if stage != "total":
                self._stages.labels(stage).observe(duration_ms / 1e3)

    def observe_identification(self, identification: Identification, live: LiveGallery) -> None:
        """Take what was said of a picture's faces, searched in a gallery."""
        collection = live.collection_name
        self._seen.add(collection)
        self.observe_stages(identification.timings_ms)
        for answer, search in zip(identification.answers, identification.searches, strict=True):
            self._decisions.labels(collection, answer.decision).inc()
            if answer.candidates:
                top_score = answer.candidates[0].score
                self._top_scores.labels(collection).observe(top_score)
                self._drifts[collection].observe(top_score, live)
            trained = live.gallery.trained
            clusters, vote_share = search.routing.clusters, search.routing.vote_share
            if trained is not None and vote_share is not None:
                bundle = trained.bundle
                searched = sum(len(bundle.subnet_classes(each)) for each in clusters)
                self._clusters.labels(collection).observe(len(clusters))
                self._vote_shares.labels(collection).observe(vote_share)
                self._penetration.labels(collection).observe(searched / len(bundle.subject_ids))

    def drift_of(self, collection: str) -> float | None:
        """How far the collection's top scores are from what its thresholds expect."""
        return self._drifts[collection].index if collection in self._drifts else None

    def forget_all_but(self, collections: Collection[str]) -> None:
        """Let go of the collections that are no more."""
        for gone in self._seen - set(collections):
            self._seen.discard(gone)
            self._drifts.pop(gone, None)
            for instrument in (
                self._decisions,
                self._top_scores,
                self._clusters,
                self._vote_shares,
                self._penetration,
            ):
                instrument.remove_by_labels({"collection": gone})
