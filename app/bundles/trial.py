"""Try an opened bundle out, before anybody is searched with it."""

import numpy as np

from models.bundle_format import BundleInvalid
from models.runtime import NetInvalid
from models.trained import Trained

WARM_SUBNETS = 4
"""Subnets that run before a bundle is used; the rest is opened as probes need them."""
PROBES = 16
"""Class means that are searched before a bundle is used."""
FIRST_CANDIDATES = 10
"""Among so many a class mean must find its own class: another may have nearly the same."""
ALIKE = 1e-3
"""Difference of cosines that two class means which are the same may show after rounding."""


def try_out(trained: Trained) -> None:
    """Run the first subnets, and search some class means; each must find its own class.

    Raises:
        BundleInvalid: one doesn't, or a subnet gives something else than cosines.
    """
    bundle = trained.bundle
    rows = np.unique(np.linspace(0, len(bundle.subject_ids) - 1, PROBES).astype(np.int64))
    probes = bundle.class_means[rows].astype(np.float32)
    found = bundle.index.search(probes, min(FIRST_CANDIDATES, len(bundle.subject_ids)))
    own = (found.rows == rows[:, None]).any(axis=1)
    # More classes than are looked at may have this very mean, or a mean may point nowhere.
    alike = found.scores[:, -1] >= np.sum(probes * probes, axis=1) - ALIKE
    if not (own | alike).all():
        lost = int(rows[np.argmin(own | alike)])
        raise BundleInvalid(
            f"{bundle.folder}: the class mean of row {lost} does not find its class"
        )
    try:
        for number in range(min(WARM_SUBNETS, bundle.cluster_count)):
            cosines = trained.subnets.cosines(number, probes)
            if cosines.shape != (len(rows), len(bundle.subnet_classes(number))):
                raise BundleInvalid(f"{bundle.subnet_file(number)}: has other outputs than classes")
            if not np.isfinite(cosines).all():
                raise BundleInvalid(f"{bundle.subnet_file(number)}: gives what is no number")
    except NetInvalid as error:
        raise BundleInvalid(str(error)) from error
