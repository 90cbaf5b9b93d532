"""Archives of all kinds, and what is not taken of them."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest

from app.batches.archive import MAX_DIRECTORY_BYTES, MAX_ENTRIES, Entry, entries, format_of
from app.problems import CorruptArchive, Problem, TooManyEntries, UnsafeArchive, UnsupportedArchive
from tests.app.batches.made import tar_of, zip_of

FILES = {"ada/1.jpg": b"one", "ada/2.PNG": b"two" * 400, "ben/1.webp": b"", "read.me": b"no"}


def read(archive: bytes, *, most: int = 10_000) -> dict[str, bytes]:
    found: list[tuple[Entry, bytes]] = [
        (entry, entry.read())
        for entry in entries(
            io.BytesIO(archive),
            format_of(archive[:512]),
            size=len(archive),
            max_picture_bytes=most,
        )
    ]
    assert all(entry.size >= len(content) for entry, content in found)
    return {entry.path: content for entry, content in found}


@pytest.mark.parametrize(
    "make",
    [
        zip_of,
        lambda files: zip_of(files, compression=zipfile.ZIP_DEFLATED),
        tar_of,
        lambda files: tar_of(files, mode="w:gz"),
        lambda files: tar_of(files, tar_format=tarfile.GNU_FORMAT),
        lambda files: tar_of(files, tar_format=tarfile.USTAR_FORMAT),
    ],
)
def test_pictures_are_read_from_all_kinds(make: Callable[[dict[str, bytes]], bytes]) -> None:
    pictures = {path: data for path, data in FILES.items() if path != "read.me"}
    assert read(make(FILES)) == pictures
    assert list(read(make(FILES), most=100)) == list(pictures)
    assert read(make(FILES), most=100)["ada/2.PNG"] == b""


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_other_alphabets(tar_format: int) -> None:
    files = {f"{'n' * 150}/{'m' * 150}.jpg": b"1", "Ωμέγα/ß.jpg": b"2"}
    assert read(tar_of(files, tar_format=tar_format)) == files
    assert read(zip_of(files)) == files


def test_folders_are_no_entries_and_what_systems_leave_is_none() -> None:
    folder = tarfile.TarInfo("ada.jpg")
    folder.type = tarfile.DIRTYPE
    left = {"__MACOSX/ada/1.jpg": b"x", "ada/._1.jpg": b"x", ".cache/1.jpg": b"x"}
    assert read(tar_of(left | {"./ada/1.jpg": b"1"}, members=[folder])) == {"./ada/1.jpg": b"1"}
    assert read(zip_of(left | {"ada.jpg/": b"", "ada/1.jpg": b"1"})) == {"ada/1.jpg": b"1"}


def test_archives_within_are_not_opened() -> None:
    within = zip_of({"ada/1.jpg": b"1"})
    assert read(zip_of({"a.zip": within, "b.tar": tar_of(FILES)})) == {}
    # Whatever its name says, it is the decoder that refuses it.
    assert read(zip_of({"ada/1.jpg": within})) == {"ada/1.jpg": within}


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize(
    "path",
    [
        "../1.jpg",
        "ada/../../1.jpg",
        "/etc/1.jpg",
        "..\\1.jpg",
        "C:\\1.jpg",
        "\\1.jpg",
        "../read.me",
    ],
)
def test_paths_that_point_out_of_it(make: Callable[[dict[str, bytes]], bytes], path: str) -> None:
    with pytest.raises(UnsafeArchive, match="absolute path"):
        read(make({"ada/1.jpg": b"1", path: b"2"}))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_links_and_devices_in_a_tar(kind: bytes) -> None:
    member = tarfile.TarInfo("ada/1.jpg")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(UnsafeArchive, match="link"):
        read(tar_of({}, members=[member]))


def test_links_in_a_zip() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        link = zipfile.ZipInfo("ada/1.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="link"):
        read(content.getvalue())


def test_an_encrypted_zip_and_one_packed_otherwise() -> None:
    archive = bytearray(zip_of({"ada/1.jpg": b"1"}))
    directory = archive.index(b"PK\x01\x02")
    archive[directory + 8] |= 1
    with pytest.raises(UnsupportedArchive, match="encrypted"):
        read(bytes(archive))
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(UnsupportedArchive, match="deflate"):
            read(zip_of({"ada/1.jpg": b"1"}, compression=compression))


def test_bombs() -> None:
    zeros = bytes(30_000_000)
    with pytest.raises(UnsafeArchive, match="far more"):
        read(zip_of({"ada/1.jpg": zeros}, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(UnsafeArchive, match="far more"):
        read(gzip.compress(tar_of({"ada/1.jpg": zeros})))
    # An extended header, which the standard library would take into memory.
    member = tarfile.TarInfo("ada/1.jpg")
    member.pax_headers = {"comment": "x" * 100_000}
    with pytest.raises(UnsafeArchive, match="extended header"):
        read(tar_of({}, members=[member]))


def test_a_zip_that_says_less_than_it_holds_gives_what_it_says() -> None:
    archive = bytearray(zip_of({"ada/1.jpg": bytes(5000)}, compression=zipfile.ZIP_DEFLATED))
    directory = archive.index(b"PK\x01\x02")
    struct.pack_into("<I", archive, directory + 24, 10)
    assert len(read(bytes(archive))["ada/1.jpg"]) <= 10


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.batches.archive.MAX_ENTRIES", 2)
    for make in (zip_of, tar_of):
        with pytest.raises(TooManyEntries):
            read(make({f"ada/{number}.jpg": b"1" for number in range(3)}))
    monkeypatch.setattr("app.batches.archive.MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(TooManyEntries):
        read(zip_of({"ada/1.jpg": b"1", "ada/2.jpg": b"1"}))
    assert MAX_DIRECTORY_BYTES > MAX_ENTRIES


@pytest.mark.parametrize("make", [zip_of, tar_of, lambda files: tar_of(files, mode="w:gz")])
def test_damaged_archives(make: Callable[[dict[str, bytes]], bytes]) -> None:
    whole = make({f"ada/{number}.jpg": bytes(range(256)) * 8 for number in range(4)})
    for length in range(512, len(whole) - 1, max(len(whole) // 40, 1)):
        with suppress(CorruptArchive):
            read(whole[:length])
    for place in range(0, len(whole), max(len(whole) // 200, 1)):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        with suppress(Problem):
            read(bytes(changed))


def test_a_damaged_entry_is_given_as_far_as_it_is_sound() -> None:
    archive = bytearray(zip_of({"ada/1.jpg": b"1" * 100, "ada/2.jpg": b"2" * 100}))
    archive[archive.index(b"2" * 100)] = 0
    found = read(bytes(archive))
    assert found["ada/1.jpg"] == b"1" * 100
    assert found["ada/2.jpg"] != b"2" * 100


@pytest.mark.parametrize(
    "head", [b"", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\xff\xd8\xff" * 300]
)
def test_other_formats(head: bytes) -> None:
    with pytest.raises(UnsupportedArchive):
        format_of(head)
