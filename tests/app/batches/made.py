"""Archives made for tests."""

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any


def zip_of(files: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return content.getvalue()


def tar_of(
    files: Mapping[str, bytes],
    *,
    mode: str = "w",
    members: Sequence[tarfile.TarInfo] = (),
    tar_format: int = tarfile.PAX_FORMAT,
) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=tar_format) as archive:  # type: ignore[call-overload]
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for member in members:
            archive.addfile(member)
    return content.getvalue()


def ndjson_of(*lines: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()
