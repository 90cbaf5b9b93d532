"""The files of the published bundles, each in a folder of its own.

<data dir>/bundles/
    <bundle id>/
        bundle/            what is opened
        report.html        what its training tells of it
        retraining.json    the same for programs
    <bundle id>.unfinished     on its way in or out; removed at the next start
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

from models.bundle import find_rows, read_subject_ids
from models.bundle_format import BundleInvalid, Identity
from models.runtime import NetInvalid
from models.trained import Trained

BUNDLE, REPORT, SUMMARY = "bundle", "report.html", "retraining.json"
UNFINISHED = ".unfinished"

WARM_SUBNETS = 4
"""Subnets that run before a bundle is used; the rest is opened as probes need them."""
PROBES = 16
"""Class means that are searched before a bundle is used."""
FIRST_CANDIDATES = 10
"""Among so many a class mean must find its own class: another may have nearly the same."""
ALIKE = 1e-3
"""Difference of cosines that two class means which are the same may show after rounding."""


@dataclass(frozen=True)
class BundleFiles:
    """The published bundles of one data directory. All methods block; call them in a thread."""

    folder: Path
    embedder: Identity
    """That makes the probes' templates."""
    subnet_memory_bytes: int
    """That the weights of one bundle's opened subnets may take."""
    threads: int
    """Of one run of a subnet."""

    def place(self, bundle_id: str) -> Path:
        """Folder of a bundle and of what is told of it; it need not be there."""
        return self.folder / bundle_id

    def bundle(self, bundle_id: str) -> Path:
        """The bundle itself."""
        return self.place(bundle_id) / BUNDLE

    def report(self, bundle_id: str) -> Path:
        """The report page."""
        return self.place(bundle_id) / REPORT

    def adopt(self, source: Path, bundle_id: str) -> None:
        """Take a training's results over; they appear whole or not at all.

        Args:
            source: folder on the same disk with the files above; they are moved away from it.
            bundle_id: of the bundle. One that is here already stays as it is: it is the same. If
                it can't be opened any more, the new one takes its place.

        Raises:
            OSError: a result is missing, or the disk is full.
        """
        if self._can_be_opened(bundle_id):
            return
        self.delete(bundle_id)
        aside = self._aside(bundle_id)
        aside.mkdir(parents=True)
        for name in (BUNDLE, REPORT, SUMMARY):
            (source / name).rename(aside / name)
        _sync(*(aside / name for name in (REPORT, SUMMARY)), aside)
        aside.rename(self.place(bundle_id))
        _sync(self.folder)

    def open(self, bundle_id: str) -> Trained:
        """Verify a bundle, warm it and try it out.

        Raises:
            BundleInvalid: a file is missing or changed, it is another bundle or of another
                embedder, or it does not find its own classes; the message says which.
        """
        trained = Trained.open(
            self.bundle(bundle_id),
            embedder=self.embedder,
            memory_limit_bytes=self.subnet_memory_bytes,
            threads=self.threads,
        )
        if trained.id != bundle_id:
            raise BundleInvalid(f"{self.bundle(bundle_id)}: is another bundle, {trained.id}")
        _try_out(trained)
        return trained

    def holds(self, bundle_id: str, subject_id: UUID) -> bool:
        """Tell whether a bundle was trained with a subject.

        Raises:
            BundleInvalid: the bundle can't be read.
        """
        known = read_subject_ids(self.bundle(bundle_id))
        return bool(find_rows(known, [str(subject_id)])[0] >= 0)

    def set_aside(self, bundle_id: str) -> None:
        """Have a bundle be gone at once, with its files still to be removed by `delete`.

        Raises:
            OSError: it can't be moved.
        """
        aside = self._aside(bundle_id)
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.place(bundle_id).rename(aside)
            _sync(self.folder)

    def delete(self, bundle_id: str) -> None:
        """Remove all files of a bundle; nothing happens if there are none.

        Raises:
            OSError: it can't be moved.
        """
        self.set_aside(bundle_id)
        shutil.rmtree(self._aside(bundle_id), ignore_errors=True)

    def _can_be_opened(self, bundle_id: str) -> bool:
        if not self.place(bundle_id).exists():
            return False
        try:
            self.open(bundle_id)
        except (BundleInvalid, OSError):
            return False
        return True

    def _aside(self, bundle_id: str) -> Path:
        return self.folder / f"{bundle_id}{UNFINISHED}"


def _try_out(trained: Trained) -> None:
    """Run the first subnets, and search some class means; each must find its own class."""
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


def _sync(*paths: Path) -> None:
    """Have files, or the names in folders, on the disk: a power cut forgets what is not."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
