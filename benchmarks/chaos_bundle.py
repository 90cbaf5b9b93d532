"""A bundle that needs no training, published beside the service and activated through it."""

import asyncio
import json
import tempfile
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import psycopg
from pydantic import SecretStr
from sqlalchemy import make_url

from app.bundles.repository import insert_if_new
from app.bundles.sharing import open_store
from app.bundles.store import BUNDLE, REPORT, SUMMARY
from app.database import Database
from benchmarks.cluster import Cluster, Replica
from models.fusion import UNTRAINED
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from training.publish import BundleContents, Subnet, publish
from training.stores.format import EmbedderIdentity
from training.subnets.export import export_subnet

CLASSES = 300
"""Of people who are nowhere: whoever is enrolled is found as if there were no bundle."""


def activate_new_bundle(cluster: Cluster, replica: Replica) -> str:
    """Publish a bundle into the store and the tables, and have a replica activate it."""
    with tempfile.TemporaryDirectory(prefix="cohort-bundle-") as folder:
        bundle_id = _make(Path(folder))
        asyncio.run(_publish(cluster, Path(folder), bundle_id))
    with closing(replica.client()) as client:
        answer = client.exchange("POST", f"/admin/bundles/{bundle_id}/activate")
    assert answer.status < 300, answer
    return bundle_id


def _make(folder: Path) -> str:
    """Write what a training leaves behind; gives the bundle's id."""
    embedder = read_manifest(DEFAULT_EMBEDDER)
    means = np.random.default_rng(0).normal(size=(CLASSES, embedder.dimension)).astype(np.float32)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    net = folder / "net.onnx"
    net.write_bytes(export_subnet(means))
    contents = BundleContents(
        embedder=EmbedderIdentity(embedder.name, embedder.sha256),
        subject_ids=[str(uuid4()) for _ in means],
        class_means=means,
        imprinted=np.zeros(CLASSES, np.bool_),
        subnets=[Subnet(net, np.arange(CLASSES, dtype=np.int32))],
        calibration={"fusion": UNTRAINED.to_json()},
        evaluation={},
        seed=0,
        synthetic=True,
        watermark=0,
    )
    bundle_id = publish(contents, folder / BUNDLE)
    (folder / REPORT).write_text("<!doctype html><title>Of nobody</title>")
    (folder / SUMMARY).write_text(json.dumps({"bundle_id": bundle_id}))
    return bundle_id


async def _publish(cluster: Cluster, folder: Path, bundle_id: str) -> None:
    url = make_url(cluster.postgres.url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=1)
    store = await open_store(SecretStr(cluster.environment["COHORT_BUNDLE_STORE"]), database)
    assert store is not None
    await asyncio.to_thread(store.put, folder, bundle_id)
    async with database.transaction() as session:
        fields = {"id": bundle_id, "collection_id": _default_collection(cluster), "job_id": None}
        numbers = {"watermark": 0, "classes": CLASSES, "subnets": 1, "metrics": {}}
        await insert_if_new(session, fields | numbers)
    await database.close()


def _default_collection(cluster: Cluster) -> UUID:
    with psycopg.connect(cluster.postgres.url) as connection:
        row = connection.execute("SELECT id FROM collections WHERE name = 'default'").fetchone()
    assert row is not None
    collection_id: UUID = row[0]
    return collection_id
