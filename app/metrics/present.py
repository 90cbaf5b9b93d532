"""What is true at the moment when somebody asks, rather than counted as it happens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.gallery.live import LiveGallery
from app.metrics.repository import Stored
from app.services import Services
from app.version import VERSION


@dataclass(frozen=True, eq=False)
class Present(Collector):
    """The gauges."""

    services: Services
    stored: Stored | None
    """None: the database is away."""
    behind_s: Mapping[UUID, float]
    """Of the collections in which this process is behind the database."""
    spool_bytes: int

    def collect(self) -> Iterator[Metric]:
        """Give all gauges."""
        yield from self._service()
        yield from self._galleries(self.services.galleries.all())
        yield from self._bundles(self.services.galleries.all())
        if self.stored is not None:
            yield from self._feed(self.stored)

    def _service(self) -> Iterator[Metric]:
        settings, inference = self.services.settings, self.services.inference
        yield _labelled(
            "cohort_build_info",
            "What runs here.",
            ("version", "embedder", "provider"),
            {(VERSION, self.services.path.embedder.manifest.name, settings.provider): 1},
        )
        yield _plain(
            "cohort_database_up", "1: the database answers; 0: not.", self.stored is not None
        )
        yield _plain(
            "cohort_inference_running",
            "Requests that hold places, as many as there are workers at most.",
            inference.running,
        )
        yield _plain(
            "cohort_inference_waiting", "Requests that wait for a worker.", inference.waiting
        )
        yield _plain(
            "cohort_inference_queue_limit",
            "Requests that may wait; one more is refused.",
            settings.inference_queue_limit,
        )
        yield _plain(
            "cohort_audit_spool_bytes",
            "Audit entries on the disk that are not in the database yet.",
            self.spool_bytes,
        )

    def _galleries(self, galleries: Sequence[LiveGallery]) -> Iterator[Metric]:
        max_fpir = self.services.settings.default_max_fpir
        by_name = {each.collection_name: each for each in galleries}
        drifts = {name: self.services.metrics.drift_of(name) for name in by_name}
        yield _by_collection(
            "cohort_gallery_subjects",
            "Subjects that can be found.",
            {name: len(each.gallery) for name, each in by_name.items()},
        )
        yield _by_collection(
            "cohort_gallery_templates",
            "Their templates.",
            {
                name: sum(int(layer.sample_counts().sum()) for layer in each.gallery.layers)
                for name, each in by_name.items()
            },
        )
        yield _by_collection(
            "cohort_gallery_overlay_subjects",
            "Subjects that were changed since the index was built.",
            {name: len(each.gallery.layers[-1]) for name, each in by_name.items()},
        )
        yield _by_collection(
            "cohort_gallery_changed_share",
            "Subjects that the bundle does not know as they are, to all; 1 without a bundle.",
            {name: each.gallery.changed_share for name, each in by_name.items()},
        )
        yield _by_collection(
            "cohort_gallery_revision",
            "The last change that searches see.",
            {name: each.gallery.revision for name, each in by_name.items()},
        )
        yield _by_collection(
            "cohort_threshold",
            "Lowest score that is a match, where a request asks for nothing else.",
            {
                name: each.calibration.threshold(
                    max_fpir=max_fpir, comparisons=each.gallery.comparisons
                )
                for name, each in by_name.items()
            },
        )
        yield _by_collection(
            "cohort_top_score_drift",
            "Population stability index of recent top scores; above 0.25 something has changed.",
            {name: drift for name, drift in drifts.items() if drift is not None},
        )

    def _bundles(self, galleries: Sequence[LiveGallery]) -> Iterator[Metric]:
        trained = {
            each.collection_name: each.gallery.trained
            for each in galleries
            if each.gallery.trained is not None
        }
        yield _labelled(
            "cohort_bundle_info",
            "The bundle that is searched with.",
            ("collection", "bundle"),
            {(name, bundle.id): 1 for name, bundle in trained.items()},
        )
        yield _by_collection(
            "cohort_bundle_loaded_bytes",
            "Weights of its subnets that are open.",
            {name: bundle.subnets.loaded_bytes for name, bundle in trained.items()},
        )
        if self.stored is not None:
            ages_s = self.stored.bundle_ages_s
            yield _by_collection(
                "cohort_bundle_age_seconds",
                "Since it was published.",
                {
                    name: ages_s[bundle.id]
                    for name, bundle in trained.items()
                    if bundle.id in ages_s
                },
            )

    def _feed(self, stored: Stored) -> Iterator[Metric]:
        held = {each.collection_id: each for each in self.services.galleries.all()}
        known = [held[each] for each in stored.revisions if each in held]
        yield _by_collection(
            "cohort_feed_lag_revisions",
            "Changes that are stored and that searches do not see yet.",
            {
                each.collection_name: max(
                    stored.revisions[each.collection_id] - each.gallery.revision, 0
                )
                for each in known
            },
        )
        yield _by_collection(
            "cohort_feed_lag_seconds",
            "For how long the oldest of them has been stored.",
            {each.collection_name: self.behind_s.get(each.collection_id, 0.0) for each in known},
        )
        yield _labelled("cohort_jobs", "Jobs that are stored.", ("kind", "state"), stored.jobs)


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _by_collection(name: str, text: str, values: Mapping[str, float]) -> Metric:
    return _labelled(name, text, ("collection",), {(of,): value for of, value in values.items()})


def _labelled(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    """Make a family; `values` has a tuple of the labels' values for each of its numbers."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, float(value))
    return family
