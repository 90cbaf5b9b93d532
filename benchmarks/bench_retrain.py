"""Retraining after one subject in a hundred has changed, against a full one: subnets and figures.

make bench-retrain

It loads a collection of synthetic subjects into the tables of an embedded Postgres, trains a
bundle, changes 1 % of the subjects, and retrains twice: going on from the bundle, and in full. Both
results are searched by the serving code for the same held-out probes: pictures of the test split
and their degraded copies.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from sqlalchemy import make_url

from app.embedded_postgres import EmbeddedPostgres
from app.migrate import migrate
from benchmarks.report import write_results
from benchmarks.synthetic_collection import SyntheticCollection, likely_model
from benchmarks.vaults import made_vault
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from training.retraining.progress import Stages
from training.retraining.retrain import Wanted, retrain
from training.run.folder import RunFolder
from training.stores.format import EmbedderIdentity
from vault.vault import KEY_BYTES

SUBJECTS, SAMPLES, TARGET_SIZE = 10_000, 6, 250
"""Clusters of 250: 40 of them. Of six samples one is tested and one validated."""
ENROLLED, GAINED, DELETED = 62, 35, 3
"""Subjects that change, of 10,000: new ones, those with a further sample, those that are deleted.
Whoever is deleted forces the subnet that was trained with him: three of forty at most."""
TRAINING = ("class-means", "cluster", "subnets")
"""Stages that a full retraining does more of; the others read, calibrate and compare."""
SEED = 0
MOST_TRAINED = 0.10
"""Share of the subnets."""
LARGEST_DIFFERENCE = 0.001
"""Between the figures of the two, as a share of the probes."""

console = Console(stderr=True)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cohort-bench-"))
    server = EmbeddedPostgres.start(folder / "postgres")
    try:
        migrate(make_url(server.url).set(drivername="postgresql+psycopg"))
        figures = measured(server.url, folder)
    finally:
        server.stop()
        shutil.rmtree(folder)
    write_results("retrain", figures)
    sys.exit(missed(figures))


def measured(url: str, folder: Path) -> dict[str, float]:
    """Train, change, retrain twice."""
    manifest = read_manifest(DEFAULT_EMBEDDER)
    embedder = EmbedderIdentity(manifest.name, manifest.sha256)
    master_key = os.urandom(KEY_BYTES)
    vault = made_vault(url, master_key)
    model = likely_model(embedder, manifest.dimension)
    collection = SyntheticCollection(url, vault, model, seed=SEED)
    console.print(f"enrolling {SUBJECTS:,} synthetic subjects of {SAMPLES} samples")
    subjects = collection.enrol(SUBJECTS, samples=SAMPLES, spare=1)

    def trained(name: str, **options: Any) -> dict[str, Any]:
        console.print(name)
        (folder / name).mkdir()
        wanted = Wanted(
            collection.id, url, master_key, DEFAULT_EMBEDDER, target_size=TARGET_SIZE, **options
        )
        return retrain(RunFolder(folder / name), wanted, Stages(lambda _line: None))

    first = trained("the first training")
    drawn = np.random.default_rng(SEED).permutation(SUBJECTS)
    collection.enrol(ENROLLED, samples=SAMPLES)
    collection.add_samples([subjects[place] for place in drawn[:GAINED]])
    collection.delete_subjects([subjects[place] for place in drawn[GAINED : GAINED + DELETED]])
    active = folder / "the first training" / "bundle"
    incremental = trained("after the changes", active=active)
    full = trained("in full", active=active, full=True)
    figures: dict[str, float] = {
        "subjects": SUBJECTS,
        "samples_a_subject": SAMPLES,
        "changed_enrolled": ENROLLED,
        "changed_gained_a_sample": GAINED,
        "changed_deleted": DELETED,
    }
    for name, results in (("first", first), ("incremental", incremental), ("full", full)):
        subnets, new = results["subnets"], results["comparison"]["new"]
        figures |= {
            f"{name}_subnets": subnets["total"],
            f"{name}_subnets_trained": len(subnets["trained"]),
            f"{name}_probes": results["comparison"]["probes"],
            f"{name}_seconds_training": sum(results["seconds"][stage] for stage in TRAINING),
            f"{name}_seconds_subnets": results["seconds"]["subnets"],
            f"{name}_seconds": sum(results["seconds"].values()),
            f"{name}_rank1": new["rank1"],
            f"{name}_fnir_at_fpir_0.01": new["fnir_at_fpir_0_01"],
            f"{name}_penetration": new["penetration"],
        }
    served = incremental["comparison"]["active"]
    return figures | {
        "incremental_subnets_kept": incremental["subnets"]["kept"],
        "incremental_subnets_extended": incremental["subnets"]["extended"],
        "served_until_then_rank1": served["rank1"],
        "served_until_then_fnir_at_fpir_0.01": served["fnir_at_fpir_0_01"],
    }


def missed(figures: dict[str, float]) -> str | None:
    """What is not as it must be; None if all is."""
    share = figures["incremental_subnets_trained"] / figures["incremental_subnets"]
    if share > MOST_TRAINED:
        return f"{share:.0%} of the subnets were trained again, more than {MOST_TRAINED:.0%}"
    for name in ("rank1", "fnir_at_fpir_0.01"):
        difference = abs(figures[f"incremental_{name}"] - figures[f"full_{name}"])
        if difference > LARGEST_DIFFERENCE:
            return f"{name}: {100 * difference:.2f} points between the incremental and the full one"
    return None


if __name__ == "__main__":
    main()
