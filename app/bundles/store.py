"""Where the bundles of all replicas are kept: on any URL that fsspec knows.

<url>/<deployment>/
    used                                      empty: bundles were put here
    <bundle id>/
        bundle/  report.html  retraining.json as files.py has them
        bundle/manifest.json                  put last, removed first: with it the bundle is there

All calls block. Endpoint and credentials of a store are fsspec's own configuration.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fsspec.config import conf
from fsspec.core import url_to_fs
from fsspec.utils import get_protocol

from models.bundle_files import check_files
from models.bundle_format import MANIFEST, BundleInvalid, BundleManifest

BUNDLE, REPORT, SUMMARY = "bundle", "report.html", "retraining.json"
USED = "used"
LOCAL = ("file", "local")
EXTRAS = {"s3": "s3", "s3a": "s3"}
"""By protocol: the extra of this project that has its package."""
S3_PATIENCE = {"connect_timeout": 5, "read_timeout": 60, "retries": {"total_max_attempts": 3}}
"""Unless fsspec's configuration says otherwise: botocore's own would wait minutes for a server that
does not answer."""


class StoreInvalid(ValueError):
    """The URL names no store that this install can use; the message says what to do."""


class StoreUnavailable(OSError):
    """The store can't be reached, or refuses what is asked."""


@dataclass(frozen=True)
class BundleStore:
    """The bundles of one deployment, in a store that others may use, too."""

    filesystem: Any
    """Of fsspec."""
    root: str
    """Path in it of this deployment's bundles."""

    @classmethod
    def open(cls, url: str, deployment: str) -> Self:
        """Find what knows the URL; the store itself is not asked for anything yet.

        Args:
            url: such as `s3://bucket/folder` or a folder's path.
            deployment: a name that no other deployment has: each sees its own bundles only.

        Raises:
            StoreInvalid: nothing knows the URL, or a package is missing.
        """
        protocol = get_protocol(url)
        # Others put and remove bundles, so a listing that is remembered is wrong.
        options: dict[str, Any] = {"use_listings_cache": False}
        if protocol in LOCAL:
            options["auto_mkdir"] = True
        if protocol in EXTRAS and "config_kwargs" not in conf.get("s3", {}):
            options["config_kwargs"] = S3_PATIENCE
        try:
            filesystem, path = url_to_fs(url, **options)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            hint = f"pip install 'cohort[{extra}]'" if extra else "install it beside cohort"
            raise StoreInvalid(
                f"COHORT_BUNDLE_STORE: {protocol}:// needs a package that is not installed "
                f"({error}): {hint}"
            ) from error
        except ValueError as error:
            # Outside fsspec's own words, which may quote a password.
            raise StoreInvalid(
                f"COHORT_BUNDLE_STORE: fsspec knows no such URL ({protocol}://)"
            ) from error
        return cls(filesystem, f"{path.rstrip('/')}/{deployment}")

    def put(self, source: Path, bundle_id: str) -> None:
        """Put a bundle and what is told of it into the store; it is there wholly or not at all.

        Args:
            source: folder with the files above.
            bundle_id: of the bundle.

        Raises:
            OSError: a file is missing, or the store can't be used.
        """
        manifest = source / BUNDLE / MANIFEST
        files = [path for path in sorted(source.joinpath(BUNDLE).rglob("*")) if path.is_file()]
        files = [path for path in files if path != manifest]
        files += [source / REPORT, source / SUMMARY]
        for path in (*files, manifest):
            path.stat()  # what is missing is missed before anything is sent
        with _calls():
            self.filesystem.pipe_file(self._at(USED), b"")
            self.filesystem.put(
                [str(path) for path in files],
                [self._at(bundle_id, path.relative_to(source).as_posix()) for path in files],
            )
            self.filesystem.put_file(str(manifest), self._manifest(bundle_id))

    def fetch(self, bundle_id: str, into: Path) -> None:
        """Fetch a bundle and what is told of it, and compare it with its manifest.

        Args:
            bundle_id: of the bundle.
            into: an empty folder; what is left in it after an error is of no use.

        Raises:
            BundleInvalid: what the store holds is damaged.
            OSError: the store does not hold it or can't be used, or the disk is full.
        """
        folder = into / BUNDLE
        folder.mkdir()
        with _calls():
            self.filesystem.get_file(self._manifest(bundle_id), str(folder / MANIFEST))
        manifest = BundleManifest.read(folder / MANIFEST)
        if manifest.id != bundle_id:
            raise BundleInvalid(f"{folder / MANIFEST}: is of another bundle, {manifest.id}")
        _check_space(into, sum(entry.size for entry in manifest.files.values()))
        names = [f"{BUNDLE}/{name}" for name in manifest.files] + [REPORT, SUMMARY]
        for name in names:
            (into / name).parent.mkdir(exist_ok=True)
        with _calls():
            self.filesystem.get(
                [self._at(bundle_id, name) for name in names],
                [str(into / name) for name in names],
            )
        check_files(folder, manifest)

    def names(self) -> set[str]:
        """List the bundles of which anything is in the store, whole or not.

        Raises:
            OSError: the store can't be used.
        """
        with _calls():
            try:
                found = self.filesystem.ls(self.root, detail=False)
            except FileNotFoundError:  # nothing was put yet
                return set()
        return {path.rstrip("/").rsplit("/", 1)[-1] for path in found} - {USED}

    def check_used(self) -> None:
        """Refuse a store that no bundle was ever put to, such as a disk which is not mounted: that
        it holds nothing tells nothing.

        Raises:
            OSError: it is so, or the store can't be used.
        """
        with _calls():
            if not self.filesystem.exists(self._at(USED)):
                raise StoreUnavailable(errno.ENOENT, "no bundle was ever put into the bundle store")

    def delete(self, bundle_id: str) -> None:
        """Remove a bundle; nothing happens if there is none.

        Raises:
            OSError: the store can't be used.
        """
        with _calls():
            with suppress(FileNotFoundError):
                self.filesystem.rm_file(self._manifest(bundle_id))
            with suppress(FileNotFoundError):
                self.filesystem.rm(self._at(bundle_id), recursive=True)

    def _manifest(self, bundle_id: str) -> str:
        return self._at(bundle_id, f"{BUNDLE}/{MANIFEST}")

    def _at(self, bundle_id: str, name: str = "") -> str:
        return f"{self.root}/{bundle_id}/{name}".rstrip("/")


@contextmanager
def _calls() -> Iterator[None]:
    """Have every error of a store be an OSError: each kind of store has its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        # Without its words, which may hold addresses and credentials.
        raise StoreUnavailable(
            errno.EIO, f"the bundle store can't be used ({type(error).__name__})"
        ) from error


def _check_space(folder: Path, needed_bytes: int) -> None:
    """Do not begin what can't be ended: each try would fill the disk of everybody else."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise OSError(
            errno.ENOSPC, f"a bundle of {needed_bytes:,} bytes has no room: {free:,} are free"
        )
