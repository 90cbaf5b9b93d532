"""Bundles that need no training: each class's weight is its class mean."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from app.bundles.store import BUNDLE, REPORT, SUMMARY
from models.arrays import Floats
from models.fusion import Fusion
from models.zoo import EmbedderManifest
from training.publish import BundleContents, Subnet, publish
from training.stores.format import EmbedderIdentity
from training.subnets.export import export_subnet

CLUSTERS = 2
COMPARISON: dict[str, Any] = {"probes": 0, "baseline": "class means", "new": None, "active": None}


def make_results(
    folder: Path,
    subject_ids: Sequence[UUID],
    templates: Floats,
    *,
    embedder: EmbedderManifest,
    collection_id: UUID | None = None,
    watermark: int = 0,
    weight_of_subnets: float = 0.2,
) -> str:
    """Write what a retraining leaves behind; give the bundle's id.

    Args:
        folder: for it; made if need be.
        subject_ids: N, one or more a cluster.
        templates: (N, s, d) of these subjects.
        embedder: that they are of.
        collection_id: whose bundle it is.
        watermark: revision of the collection that it knows.
        weight_of_subnets: in the fused score; with another one, scores are others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    means = templates.mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    subnets = []
    for cluster in range(CLUSTERS):
        own = np.arange(cluster, len(means), CLUSTERS, dtype=np.int32)
        file = folder / f"net-{cluster}.onnx"
        file.write_bytes(export_subnet(means[own]))
        subnets.append(Subnet(file, own))
    rest = (1 - weight_of_subnets) / 2
    weights = np.tile(np.array([weight_of_subnets, rest, rest], np.float32), (2, 2, 1))
    contents = BundleContents(
        embedder=EmbedderIdentity(embedder.name, embedder.sha256),
        subject_ids=[str(subject) for subject in subject_ids],
        class_means=means,
        imprinted=np.zeros(len(means), np.bool_),
        subnets=subnets,
        calibration={"fusion": Fusion(needed_share=0.5, weights=weights).to_json()},
        evaluation={},
        seed=0,
        synthetic=True,
        watermark=watermark,
        collection=None if collection_id is None else str(collection_id),
    )
    bundle_id = publish(contents, folder / BUNDLE)
    (folder / REPORT).write_text("<!doctype html><title>A report</title>")
    results = {
        "bundle_id": bundle_id,
        "watermark": watermark,
        "classes": len(means),
        "subnets": {"total": CLUSTERS},
        "comparison": COMPARISON,
        "seconds": {},
    }
    (folder / SUMMARY).write_text(json.dumps(results))
    return bundle_id
