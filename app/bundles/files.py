"""The files of the published bundles, each in a folder of its own.

<data dir>/bundles/
    <bundle id>/
        bundle/            what is opened
        report.html        what its training tells of it
        retraining.json    the same for programs
    <bundle id>.unfinished           on its way in or out
    <bundle id>.<random>.fetching    being fetched; what a kill leaves of both, leftovers.py removes

Where there is a store (store.py), this is a cache of it: what is missing or damaged here is fetched
again, and compared with the bundle's manifest before it is there.
"""

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from uuid import UUID, uuid4

from app.bundles.store import BUNDLE, REPORT, SUMMARY, BundleStore
from app.bundles.trial import try_out
from models.bundle import find_rows, read_subject_ids
from models.bundle_files import check_files
from models.bundle_format import MANIFEST, BundleInvalid, BundleManifest, Identity
from models.trained import Trained

UNFINISHED = ".unfinished"
FETCHING = ".fetching"
IDLE_S = 600.0
"""A folder that is fetched into, and to which nothing was written for so long, is nobody's."""


@dataclass(frozen=True)
class BundleFiles:
    """The published bundles of one data directory. All methods block; call them in a thread."""

    folder: Path
    subnet_memory_bytes: int
    """That the weights of one bundle's opened subnets may take."""
    threads: int
    """Of one run of a subnet."""
    store: BundleStore | None = None
    """That all replicas share; None: what is here is all there is."""
    _fetching: defaultdict[str, Lock] = field(default_factory=lambda: defaultdict(Lock))

    def names(self) -> set[str]:
        """List the bundles that are here, whole or not, but for what is being fetched.

        The folder need not be there.
        """
        there = self.folder.iterdir() if self.folder.exists() else ()
        return {path.name for path in there if not _is_being_fetched(path)}

    def that_are_left(self, bundle_ids: Collection[str]) -> set[str]:
        """Give those of some bundles of which there is anything, here or in the store.

        Raises:
            OSError: the store can't be used, or bundles were never put there.
        """
        if not bundle_ids:
            return set()
        names = self.names()
        if self.store is not None:
            self.store.check_used()
            names |= self.store.names()
        return {bundle_id_of(name) for name in names}.intersection(bundle_ids)

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
                it was damaged, the new one takes its place.

        Raises:
            OSError: a result is missing, or the disk is full.
        """
        if self.is_sound(bundle_id):
            return
        self.delete(bundle_id)
        aside = self._aside(bundle_id)
        aside.mkdir(parents=True)
        for name in (BUNDLE, REPORT, SUMMARY):
            (source / name).rename(aside / name)
        _sync(*(aside / name for name in (REPORT, SUMMARY)), aside)
        aside.rename(self.place(bundle_id))
        _sync(self.folder)

    def open(self, bundle_id: str, embedder: Identity) -> Trained:
        """Verify a bundle, warm it and try it out; it is fetched first if need be.

        Args:
            bundle_id: of the bundle.
            embedder: that makes the probes' templates.

        Raises:
            BundleInvalid: a file is missing or changed, it is another bundle or of another
                embedder, or it does not find its own classes; the message says which.
            OSError: it can't be fetched now.
        """
        self.ensure(bundle_id)
        try:
            return self._opened(bundle_id, embedder)
        except BundleInvalid:
            if self.store is None or self.is_sound(bundle_id):
                raise
        self.set_aside(bundle_id)
        shutil.rmtree(self._aside(bundle_id), ignore_errors=True)  # what stays goes later
        self.ensure(bundle_id)
        return self._opened(bundle_id, embedder)

    def ensure(self, bundle_id: str) -> None:
        """Have a bundle here, if there is a store to fetch it from; it appears whole or not at all.

        Raises:
            BundleInvalid: what the store holds is damaged.
            OSError: the store does not hold it or can't be used, or the disk is full.
        """
        if self.store is None:
            return
        with self._fetching[bundle_id]:
            if not self.place(bundle_id).exists():
                self._fetch(self.store, bundle_id)

    def is_sound(self, bundle_id: str) -> bool:
        """Tell whether a bundle is here, and each file as its manifest says."""
        try:
            manifest = BundleManifest.read(self.bundle(bundle_id) / MANIFEST)
            check_files(self.bundle(bundle_id), manifest)
        except (BundleInvalid, OSError):
            return False
        return manifest.id == bundle_id

    def holds(self, bundle_id: str, subject_ids: Sequence[UUID]) -> list[bool]:
        """Tell of each of some subjects whether a bundle that is here was trained with it.

        Raises:
            BundleInvalid: the bundle can't be read.
        """
        known = read_subject_ids(self.bundle(bundle_id))
        rows = find_rows(known, [str(each) for each in subject_ids])
        return [bool(row >= 0) for row in rows]

    def set_aside(self, bundle_id: str) -> None:
        """Have a bundle be gone from here at once, its files still to be removed by `delete`.

        Raises:
            OSError: it can't be moved.
        """
        aside = self._aside(bundle_id)
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.place(bundle_id).rename(aside)
            _sync(self.folder)

    def delete(self, name: str) -> None:
        """Remove all files of a bundle from here, or what is left of it; nothing happens if there
        are none.

        Args:
            name: a bundle's id, or another one of `names`.

        Raises:
            OSError: it can't be moved, or something of it can't be removed.
        """
        leaving = self.folder / name
        if not name.endswith((UNFINISHED, FETCHING)):
            self.set_aside(name)
            leaving = self._aside(name)
        shutil.rmtree(leaving, ignore_errors=True)  # another process may be at the same
        with suppress(FileNotFoundError):
            shutil.rmtree(leaving)  # tells what is in the way, if anything is

    def delete_stored(self, bundle_id: str) -> None:
        """Remove a bundle from the store, if there is one; nobody can fetch it any more.

        Raises:
            OSError: the store can't be used.
        """
        if self.store is not None:
            self.store.delete(bundle_id)

    def _opened(self, bundle_id: str, embedder: Identity) -> Trained:
        trained = Trained.open(
            self.bundle(bundle_id),
            embedder=embedder,
            memory_limit_bytes=self.subnet_memory_bytes,
            threads=self.threads,
        )
        if trained.id != bundle_id:
            raise BundleInvalid(f"{self.bundle(bundle_id)}: is another bundle, {trained.id}")
        try_out(trained)
        return trained

    def _fetch(self, store: BundleStore, bundle_id: str) -> None:
        # Another process of this data directory may be at the same.
        aside = self.folder / f"{bundle_id}.{uuid4().hex}{FETCHING}"
        aside.mkdir(parents=True)
        try:
            store.fetch(bundle_id, aside)
            try:
                aside.rename(self.place(bundle_id))
            except OSError:
                if not self.place(bundle_id).exists():
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, bundle_id: str) -> Path:
        return self.folder / f"{bundle_id}{UNFINISHED}"


def bundle_id_of(name: str) -> str:
    """Whose name it is: a bundle's own, or that of a folder on its way in or out."""
    return name.split(".")[0]


def _is_being_fetched(folder: Path) -> bool:
    """Whether a process of this data directory may be fetching into a folder."""
    if not folder.name.endswith(FETCHING):
        return False
    try:
        written_at = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return True
    return time.time() - written_at < IDLE_S


def _sync(*paths: Path) -> None:
    """Have files, or the names in folders, on the disk: a power cut forgets what is not."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
