import base64
import hashlib
import io
import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from app.backup.archive import Archive, ArchiveWriter, BackupDamaged, BackupTooNew, OtherMasterKey
from app.backup.manifest import FORMAT, MANIFEST, MANIFEST_SEALED, MANIFEST_SHA256, Manifest
from vault.vault import KEY_BYTES

MASTER = os.urandom(KEY_BYTES)
CONTENTS = {"tables/a/000000": b"one" * 1000, "bundles/b/net": b"", "bundles/b/c/d": b"x"}


def manifest_of(archive: ArchiveWriter, *, version_of_format: int = FORMAT) -> Manifest:
    return Manifest(
        format=version_of_format,
        version="9.9",
        revision="0001",
        made_at=datetime(2026, 1, 20, tzinfo=UTC),
        tables=[],
        bundles=[],
        missing_bundles=[],
        wrapped_key=base64.b64encode(archive.wrapped_key),
        parts=dict(archive.parts),
    )


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return write(tmp_path / "backup.tar")


def write(path: Path, *, version_of_format: int = FORMAT) -> Path:
    with path.open("wb") as file:
        archive = ArchiveWriter(file, MASTER)
        for name, content in CONTENTS.items():
            archive.add(name, content)
        archive.finish(manifest_of(archive, version_of_format=version_of_format))
    return path


def test_what_is_written_is_read(backup: Path, tmp_path: Path) -> None:
    with Archive.opened(backup, MASTER) as archive:
        assert archive.manifest.made_at == datetime(2026, 1, 20, tzinfo=UTC)
        assert {name: archive.read(name) for name in CONTENTS} == CONTENTS
    # Whoever has no Cohort reads it with any tar.
    with tarfile.open(backup) as tar:
        assert tar.getnames() == [*CONTENTS, MANIFEST, MANIFEST_SHA256, MANIFEST_SEALED]
        assert all(entry.mode == 0o600 for entry in tar)


def test_nothing_of_it_is_read_without_the_key(backup: Path) -> None:
    assert b"oneone" not in backup.read_bytes()
    with pytest.raises(OtherMasterKey), Archive.opened(backup, bytes(KEY_BYTES)):
        pass


def test_a_file_of_another_backup_is_noticed(backup: Path, tmp_path: Path) -> None:
    """Checksums can be made anew by anybody; what is sealed can't."""
    other = write(tmp_path / "other.tar")
    with tarfile.open(other) as tar, tarfile.open(backup) as own:
        foreign = {entry.name: (tar.extractfile(entry) or tar).read() for entry in tar}  # type: ignore[union-attr]
        manifest = json.loads((own.extractfile(MANIFEST) or own).read())  # type: ignore[union-attr]
    name = "tables/a/000000"
    manifest["parts"][name]["sha256"] = hashlib.sha256(foreign[name]).hexdigest()
    changed = json.dumps(manifest).encode()
    foreign |= {MANIFEST: changed, MANIFEST_SHA256: hashlib.sha256(changed).hexdigest().encode()}
    with tarfile.open(backup, "w") as tar:
        for each, content in foreign.items():
            entry = tarfile.TarInfo(each)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(BackupDamaged), Archive.opened(backup, MASTER):
        pass


def test_a_changed_bit_anywhere_is_noticed(backup: Path) -> None:
    whole = backup.read_bytes()
    with tarfile.open(backup) as tar:
        last = tar.getmember(MANIFEST_SEALED)
        end = last.offset_data + last.size
        contents = [(entry.offset_data, entry.size) for entry in tar]
    random = np.random.default_rng(3)
    places = [start + int(random.integers(size)) for start, size in contents if size] * 3
    places += [int(place) for place in random.integers(end, size=100)]
    harmless = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        backup.write_bytes(changed)
        try:
            with Archive.opened(backup, MASTER) as archive:
                # In what fills a block up, or in a header's field that nobody reads.
                assert {name: archive.read(name) for name in CONTENTS} == CONTENTS
                harmless += 1
        except BackupDamaged:
            continue
    assert harmless < len(places) / 2


def test_a_file_that_is_cut_off_is_noticed(backup: Path) -> None:
    whole = backup.read_bytes()
    with tarfile.open(backup) as tar:
        last = tar.getmember(MANIFEST_SEALED)
        end = last.offset_data + last.size
    for length in [0, 1, 511, 512, 513, *range(1024, end, 700), end - 1]:
        backup.write_bytes(whole[:length])
        with pytest.raises(BackupDamaged), Archive.opened(backup, MASTER):
            pass


@pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 10240])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(BackupDamaged), Archive.opened(path, MASTER):
        pass


def test_a_tar_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name, said in (("file", "it has no manifest"), ("link", "is not a plain file")):
        with tarfile.open(tmp_path / "other.tar", "w") as tar:
            tar.add(tmp_path / name, "tables/x")
        with (
            pytest.raises(BackupDamaged, match=said),
            Archive.opened(tmp_path / "other.tar", MASTER),
        ):
            pass


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    for content in (b"{}", b"[1]", json.dumps({"format": FORMAT, "version": "1"}).encode()):
        with path.open("wb") as file:
            archive = ArchiveWriter(file, MASTER)
            archive._add(MANIFEST, content)
            digest = archive.parts[MANIFEST].sha256.encode()
            archive._add(MANIFEST_SHA256, digest)
            archive.add(MANIFEST_SEALED, digest)
            archive._tar.close()
        with pytest.raises(BackupDamaged, match="is not one"), Archive.opened(path, MASTER):
            pass


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "b.tar", version_of_format=FORMAT + 1)
    with pytest.raises(BackupTooNew, match=r"Cohort 9\.9"), Archive.opened(path, MASTER):
        pass
