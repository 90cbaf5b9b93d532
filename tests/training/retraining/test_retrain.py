import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from benchmarks.synthetic_collection import SyntheticCollection, likely_model
from benchmarks.vaults import made_vault
from models.arrays import Floats
from models.bundle import Bundle
from models.class_means import class_means
from models.runtime import open_session
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.training.cli.child import refused, training
from training.embedding.collection import GalleryUnusable
from training.retraining.progress import Stages
from training.retraining.refresh import CARRIED
from training.retraining.retrain import Wanted, retrain
from training.run.folder import RunFolder
from training.run.refused import RunRefused
from training.stores.format import EmbedderIdentity
from training.stores.store import EmbeddingStore
from vault.master import write_master_key
from vault.vault import KEY_BYTES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("one_thread"),
]

SUBJECTS, TARGET = 160, 40
MASTER_KEY = bytes(range(KEY_BYTES))
STAGES = ["read", "class-means", "cluster", "subnets", "calibrate", "publish", "evaluate", "report"]


@dataclass(frozen=True)
class Retrained:
    """A collection and the first bundle that was made from it."""

    url: str
    collection: SyntheticCollection
    subjects: list[UUID]
    folder: Path
    results: dict[str, Any]

    def again(self, folder: Path, **options: Any) -> dict[str, Any]:
        wanted = Wanted(
            self.collection.id,
            self.url,
            MASTER_KEY,
            DEFAULT_EMBEDDER,
            target_size=TARGET,
            **options,
        )
        folder.mkdir()
        return retrain(RunFolder(folder), wanted, Stages(lambda _line: None))


def embedder() -> EmbedderIdentity:
    manifest = read_manifest(DEFAULT_EMBEDDER)
    return EmbedderIdentity(manifest.name, manifest.sha256)


def opened(folder: Path) -> Bundle:
    return Bundle.open(folder / "bundle", embedder=embedder())


@pytest.fixture
def first(database_url: str, tmp_path: Path) -> Retrained:
    vault = made_vault(database_url, MASTER_KEY)
    collection = SyntheticCollection(database_url, vault, likely_model(embedder(), 192), seed=0)
    subjects = collection.enrol(SUBJECTS, samples=6, spare=2)
    made = Retrained(database_url, collection, subjects, tmp_path / "first", {})
    made.results.update(made.again(tmp_path / "first"))
    return made


def cluster_of(bundle: Bundle, subject: UUID) -> int:
    (row,) = bundle.rows_of([str(subject)])
    (cluster,) = bundle.clusters_of(int(row))
    return int(cluster)


def weight_of(bundle: Bundle, subject: UUID) -> Floats:
    """The subject's row of its subnet."""
    net = open_session(bundle.subnet_file(cluster_of(bundle, subject)), mapped=True)
    (cosines,) = net.run(None, {"template": np.eye(192, dtype=np.float32)})
    (row,) = bundle.rows_of([str(subject)])
    weight: Floats = cosines[:, bundle.class_columns[bundle.class_offsets[row]]]
    return weight


def nets(bundle: Bundle) -> list[bytes]:
    return [
        bundle.subnet_file(number).with_suffix(".weights").read_bytes()
        for number in range(bundle.cluster_count)
    ]


def test_the_first_training_is_compared_with_class_means(first: Retrained) -> None:
    bundle = opened(first.folder)
    results = first.results
    assert results["bundle_id"] == bundle.id
    assert bundle.manifest.collection == str(first.collection.id)
    assert bundle.manifest.watermark == results["watermark"] == SUBJECTS
    assert sorted(map(str, first.subjects)) == [
        bundle.id_of(row) for row in range(len(bundle.class_means))
    ]
    assert results["subnets"] | {"trained": len(results["subnets"]["trained"])} == {
        "total": 4, "trained": 4, "kept": 0, "extended": 0, "full": True, "reasons": {},
        "why": "there is no active bundle",
    }  # fmt: skip
    comparison = results["comparison"]
    assert (comparison["probes"], comparison["baseline"]) == (2 * SUBJECTS, "class means")
    assert comparison["new"]["penetration"] < 1 == comparison["active"]["penetration"]
    assert list(results["seconds"]) == STAGES
    assert json.loads((first.folder / "retraining.json").read_bytes()) == results
    assert (first.folder / "report.html").is_file()


def test_without_changes_it_makes_the_very_same_bundle(first: Retrained, tmp_path: Path) -> None:
    results = first.again(tmp_path / "again", active=first.folder / "bundle")
    assert results["subnets"] | {"why": ""} == {
        "total": 4, "trained": [], "kept": 4, "extended": 0, "full": False, "reasons": {},
        "why": "",
    }  # fmt: skip
    assert results["bundle_id"] == first.results["bundle_id"]
    comparison = results["comparison"]
    assert comparison["baseline"] == "bundle"
    assert comparison["new"] == comparison["active"]
    asked = first.again(tmp_path / "full", active=first.folder / "bundle", full=True)
    assert (asked["subnets"]["full"], asked["subnets"]["why"]) == (True, "it was asked for")
    # The same clusters are found and the same nets trained.
    assert asked["bundle_id"] == first.results["bundle_id"]


def test_few_changes_train_few_subnets(first: Retrained, tmp_path: Path) -> None:
    before = opened(first.folder)
    by_cluster: list[list[UUID]] = [[] for _ in range(4)]
    for subject in first.subjects:
        by_cluster[cluster_of(before, subject)].append(subject)
    (gone, *_), (gained, *_), (judged, *_), _ = by_cluster
    first.collection.delete_subjects([gone])
    first.collection.add_samples([gained])
    noise = np.random.default_rng(1).standard_normal(192)
    probe = (weight_of(before, judged) + 0.1 * noise).astype(np.float32)
    probe /= np.linalg.norm(probe)
    first.collection.judge(judged, probe, "rejected")
    (new,) = first.collection.enrol(1, samples=6)
    results = first.again(tmp_path / "after", active=first.folder / "bundle")
    after = opened(tmp_path / "after")
    assert results["subnets"]["trained"] == [0, 2]
    assert results["subnets"]["reasons"] == {
        "0": "1 that it was trained with deleted or reduced",
        "2": "1 with rejected answers",
    }
    assert results["watermark"] == after.manifest.watermark == SUBJECTS + 4
    assert after.rows_of([str(gone)]).tolist() == [-1]
    kept = sorted({1, 3} - {cluster_of(after, new)})
    for number in kept:
        assert nets(after)[number] == nets(before)[number]
    assert results["subnets"]["kept"] + results["subnets"]["extended"] == 2
    # Where it is not trained again, the weight stays, and is known to be behind.
    np.testing.assert_array_equal(weight_of(after, gained), weight_of(before, gained))
    assert after.manifest.evaluation == {CARRIED: [0, 1, 0, 0]}
    (row,) = after.rows_of([str(new)])
    assert after.imprinted[row] == (cluster_of(after, new) in (1, 3))
    assert after.imprinted.sum() == int(after.imprinted[row])
    # What was rejected is less alike now.
    assert weight_of(before, judged) @ probe > 0.4
    assert weight_of(after, judged) @ probe < 0.2
    comparison = results["comparison"]
    assert comparison["probes"] == 2 * SUBJECTS
    assert comparison["new"]["rank1"] >= comparison["active"]["rank1"] - 0.02


def test_newcomers_are_found_by_an_imprinted_weight(first: Retrained, tmp_path: Path) -> None:
    (new,) = first.collection.enrol(1, samples=2)
    results = first.again(tmp_path / "after", active=first.folder / "bundle")
    bundle = opened(tmp_path / "after")
    assert results["subnets"]["trained"] == []
    assert (results["subnets"]["kept"], results["subnets"]["extended"]) == (3, 1)
    (row,) = bundle.rows_of([str(new)])
    assert np.flatnonzero(bundle.imprinted).tolist() == [row]
    store = EmbeddingStore.open(tmp_path / "after" / "store")
    originals = store.originals & (store.labels == store.subject_ids.index(str(new)))
    own = store.vectors[originals].astype(np.float32)
    # The mean of two pictures, or the one of them that is trained on.
    candidates = [*own, class_means(own, np.array([0, 2]))[0]]
    assert max(weight_of(bundle, new) @ each for each in candidates) > 0.9
    # Once more without changes: imprinted it stays.
    again = first.again(tmp_path / "again", active=tmp_path / "after" / "bundle")
    assert again["bundle_id"] == results["bundle_id"]


def test_what_cannot_be_retrained_is_refused(first: Retrained, tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match="was not made from collection"):
        retrain(
            RunFolder(tmp_path / "other"),
            Wanted(
                uuid4(), first.url, MASTER_KEY, DEFAULT_EMBEDDER, active=first.folder / "bundle"
            ),
            Stages(lambda _line: None),
        )
    with pytest.raises(RunRefused, match=r"trained with the seed 0: .* leave --seed out"):
        first.again(tmp_path / "seed", active=first.folder / "bundle", seed=1)
    with pytest.raises(RunRefused, match="there is a training already"):
        retrain(
            RunFolder(first.folder),
            Wanted(first.collection.id, first.url, MASTER_KEY, DEFAULT_EMBEDDER),
            Stages(lambda _line: None),
        )
    with pytest.raises(GalleryUnusable, match="there is no collection"):
        retrain(
            RunFolder(tmp_path / "nobody"),
            Wanted(UUID(int=0), first.url, MASTER_KEY, DEFAULT_EMBEDDER),
            Stages(lambda _line: None),
        )


@pytest.fixture
def few(database_url: str) -> tuple[str, SyntheticCollection]:
    """Subjects of whom nobody has pictures enough to test on."""
    vault = made_vault(database_url, MASTER_KEY)
    collection = SyntheticCollection(database_url, vault, likely_model(embedder(), 192), seed=0)
    collection.enrol(12, samples=2)
    return database_url, collection


def test_the_command_tells_how_far_it_is_in_json(
    few: tuple[str, SyntheticCollection], tmp_path: Path
) -> None:
    url, collection = few
    arguments = ("retrain", "--collection-id", str(collection.id), "--out", tmp_path / "out")
    variables = {
        "COHORT_DATABASE_URL": url,
        "COHORT_ENCRYPTION_KEY": write_master_key(MASTER_KEY),
    }
    done = training(*arguments, **variables)
    assert (done.code, done.err) == (0, "")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == STAGES
    assert all(set(line) == {"stage", "done", "total", "message"} for line in lines)
    told = {line["stage"]: line["message"] for line in lines if line["message"]}
    assert told["read"] == "12 subjects, 48 rows, as of revision 12"
    assert told["cluster"] == "all subnets are trained: there is no active bundle"
    assert "nothing could be compared" in told["evaluate"]
    results = json.loads((tmp_path / "out" / "retraining.json").read_bytes())
    assert results["comparison"] == {
        "probes": 0, "baseline": "class means", "new": None, "active": None,
    }  # fmt: skip
    assert opened(tmp_path / "out").id == results["bundle_id"]
    again = refused(*arguments, **variables)
    assert "there is a training already" in again
    other = ("retrain", "--collection-id", str(UUID(int=0)), "--out", tmp_path / "other")
    nowhere = training(*other, **variables)
    assert nowhere.code == 3
    assert nowhere.err.startswith("training: there is no collection")
    unsaid = training(*arguments)
    assert unsaid.code == 2
    assert "COHORT_DATABASE_URL" in unsaid.err
    keyless = refused(*other, COHORT_DATABASE_URL=url)
    assert "COHORT_ENCRYPTION_KEY_FILE" in keyless
    wrong = {"COHORT_ENCRYPTION_KEY": write_master_key(bytes(KEY_BYTES))}
    locked = ("retrain", "--collection-id", str(collection.id), "--out", tmp_path / "locked")
    opened_none = training(*locked, **variables | wrong)
    assert opened_none.code == 3
    assert "is not the one that the database's data keys" in opened_none.err
