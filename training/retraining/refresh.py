"""Which subnets are trained again and which stay, after some subjects have changed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.bundle import Bundle
from training.clusters.bounded_assignment import SizeBounds
from training.retraining.changes import FEEDBACK, GAINED, LOST, Changes

REFRESH_SHARE = 0.05
"""Of a cluster's classes: with more that its subnet was not trained with as they are now, it is
trained again. What is imprinted has nearly the weight that training would give it, so waiting
costs little; and where one subject in a hundred changes from one retraining to the next, each
subnet is trained about every fifth time."""
MOST_REFRESHED = 0.5
"""Of the subnets: if more are to be trained, all are, in clusters of their own: that takes at most
twice as long, and the clusters fit the gallery again."""
CARRIED = "changed_since_trained"
"""In the bundle's evaluation: for each subnet, how many changes its trained classes have had since
it was trained."""


@dataclass(frozen=True)
class Full:
    """All is to be trained anew."""

    reason: str


@dataclass(frozen=True, eq=False)
class Refresh:
    """What becomes of m clusters, with N classes now."""

    active: Bundle
    """Whose clusters they are."""
    clusters: NDArray[np.int32]
    """(N,) cluster of each class: its own as before, or that of the nearest centroid with room."""
    trained: dict[int, str]
    """Which subnets are trained again, and why."""
    rows: NDArray[np.int64]
    """(N,) row of each class in the active bundle; -1 of new ones."""
    imprinted: NDArray[np.bool_]
    """(N,) whether a class's weight will be made from its class mean, not trained."""
    printed: NDArray[np.bool_]
    """(N,) those of them whose weight is to be written now; the others keep theirs."""
    carried: list[int]
    """(m,) as `CARRIED`."""


def plan_refresh(
    active: Bundle,
    subject_ids: tuple[str, ...],
    class_means: Floats,
    changes: Changes,
    rejected: set[str],
    bounds: SizeBounds,
) -> Refresh | Full:
    """Decide what is trained again.

    A subnet is, if a class that it was trained with was deleted or lost a sample, for erasure must
    reach the weights; if a class has new rejected feedback, of which its weight must learn; or if
    more than `REFRESH_SHARE` of its classes are new, imprinted, or have changed since it was
    trained. A subject with feedback of both kinds counts as newly rejected, even if the rejection
    is the older one: the feed does not tell them apart.

    Args:
        active: the bundle that is served.
        subject_ids: N, of the classes as they are now.
        class_means: (N, d) unit rows, of the pictures that are trained on.
        changes: since the active bundle's watermark.
        rejected: subjects with rejected feedback, whenever it was given.
        bounds: of the clusters' sizes.
    """
    if len(active.class_clusters) != len(active.class_means):
        return Full("the active bundle has classes in several clusters")
    count = active.cluster_count
    rows = active.rows_of(subject_ids)
    known = rows >= 0
    clusters = np.full(len(rows), -1, np.int32)
    clusters[known] = active.class_clusters[rows[known]]
    if _attach(active, class_means, clusters, bounds.largest):
        return Full("the clusters have no room for all new subjects")
    sizes = np.bincount(clusters, minlength=count)
    if count > 1 and sizes.min() < bounds.smallest:
        return Full(f"a cluster has {sizes.min()} subjects, fewer than {bounds.smallest}")
    imprinted = ~known
    imprinted[known] = active.imprinted[rows[known]]
    changed = _among(changes.having(GAINED, LOST, FEEDBACK), subject_ids)
    news = np.bincount(clusters[~imprinted & changed], minlength=count)
    carried = news + np.array(active.manifest.evaluation.get(CARRIED, [0] * count))
    behind = np.bincount(clusters[imprinted], minlength=count) + carried
    judged = _among([each for each in changes.having(FEEDBACK) if each in rejected], subject_ids)
    trained = _reasons(
        erased=_erased(active, rows[known], changes),
        judged=np.bincount(clusters[judged], minlength=count),
        behind=behind,
        sizes=sizes,
    )
    if len(trained) > MOST_REFRESHED * count:
        return Full(f"{len(trained)} of {count} subnets would be trained again")
    again = np.isin(np.arange(count), list(trained))
    imprinted &= ~again[clusters]
    return Refresh(
        active=active,
        clusters=clusters,
        trained=trained,
        rows=rows,
        imprinted=imprinted,
        printed=imprinted & (~known | changed),
        carried=np.where(again, 0, carried).tolist(),
    )


def _attach(active: Bundle, class_means: Floats, clusters: NDArray[np.int32], largest: int) -> bool:
    """Put each class without a cluster (-1) into the nearest one with room; True: there is none."""
    centroids = np.stack(
        [
            active.class_means[active.subnet_classes(number)].astype(np.float32).sum(axis=0)
            for number in range(active.cluster_count)
        ]
    )
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), np.float32(1e-12))
    sizes = np.bincount(clusters[clusters >= 0], minlength=len(centroids))
    for place in np.flatnonzero(clusters < 0):
        if sizes.min() >= largest:
            return True
        cosines = np.where(sizes < largest, centroids @ class_means[place], -np.inf)
        clusters[place] = cosines.argmax()
        sizes[clusters[place]] += 1
    return bool(sizes.max() > largest)


def _erased(active: Bundle, present: NDArray[np.int64], changes: Changes) -> NDArray[np.int64]:
    """(m,) classes that each subnet was trained with and that were deleted or lost a sample."""
    gone = np.ones(len(active.class_means), np.bool_)
    gone[present] = False
    lost = active.rows_of(changes.having(LOST))
    gone[lost[lost >= 0]] = True
    erased: NDArray[np.int64] = np.bincount(
        active.class_clusters[gone & ~active.imprinted], minlength=active.cluster_count
    )
    return erased


def _among(wanted: list[str], subject_ids: tuple[str, ...]) -> NDArray[np.bool_]:
    """(N,) whether each subject is one of those."""
    chosen = set(wanted)
    return np.fromiter((each in chosen for each in subject_ids), np.bool_, len(subject_ids))


def _reasons(
    *,
    erased: NDArray[np.int64],
    judged: NDArray[np.int64],
    behind: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> dict[int, str]:
    reasons = {}
    for number, size in enumerate(sizes.tolist()):
        if erased[number]:
            reasons[number] = f"{erased[number]} that it was trained with deleted or reduced"
        elif judged[number]:
            reasons[number] = f"{judged[number]} with rejected answers"
        elif behind[number] > REFRESH_SHARE * size:
            reasons[number] = f"{behind[number]} of {size} new or changed"
    return reasons
