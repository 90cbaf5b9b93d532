"""Stores for bundles: a local folder, and a real S3 server on the loopback interface."""

from collections.abc import Iterator
from contextlib import contextmanager

import fsspec.config
import httpx
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "bundles"


@contextmanager
def s3_server(port: int = 0) -> Iterator[str]:
    """Run an S3 server; gives its endpoint. What it holds outlives it in this process."""
    server = ThreadedMotoServer("127.0.0.1", port=port)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def use_s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Configure fsspec for a server, as the environment would, and make the bucket; gives a URL."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    httpx.put(f"{endpoint}/{BUCKET}").raise_for_status()
    return f"s3://{BUCKET}/cohort"
