"""Bundles swapped under load: no failed request, each answer that of the bundle it names.

    make bench-swap

A collection of drawn subjects and of some people in pictures gets two bundles, by two retrainings.
What each answers to every picture is recorded first. Then one takes the other's place again and
again, while clients identify without a pause. At last a retraining runs beside a client.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from rich.progress import track
from sqlalchemy import make_url

from app.embedded_postgres import EmbeddedPostgres
from app.migrate import migrate
from benchmarks.report import write_results
from benchmarks.retraining import follow
from benchmarks.service import Client, Service, running_service
from benchmarks.synthetic_collection import SyntheticCollection, likely_model
from benchmarks.vaults import made_vault
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from training.stores.format import EmbedderIdentity
from vault.master import write_master_key
from vault.vault import KEY_BYTES, Vault

SUBJECTS, SAMPLES, LATER = 1_000, 6, 20
"""Subjects of the first bundle, their samples, and the subjects that only the second one knows."""
TARGET_SIZE = 100
SWAPS, WARMING_SWAPS, CLIENTS = 50, 8, 8
"""Warming ones come first: until then the allocators still take memory for the first time."""
PAUSE_S = 0.3
ALONE_S = 20.0
LARGEST_GROWTH = 0.05
"""Of the resident memory, from the first quarter of the swaps to the last."""
PICTURES = Path(__file__).parents[1] / "tests" / "data"
ENROLLED, PROBES = ("obama", "biden", "astronaut"), ("obama2", "obama3", "biden", "astronaut")
LONGEST_SIDE_PX = 320
SEED = 0

Answer = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service-python", default=sys.executable, help="interpreter that serves")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cohort-bench-") as folder, database(folder) as url:
        master_key = os.urandom(KEY_BYTES)
        settings = {
            "COHORT_DATABASE_URL": url,
            "COHORT_ENCRYPTION_KEY": write_master_key(master_key),
            "COHORT_TRAINING_PYTHON": sys.executable,
        }
        with running_service(arguments.service_python, settings) as service:
            figures = measured(service, url, made_vault(url, master_key))
    write_results("swap", figures)
    if missed := [name for name, holds in demands(figures).items() if not holds]:
        raise SystemExit(f"missed: {'; '.join(missed)}")


@contextmanager
def database(folder: str) -> Iterator[str]:
    """Run a migrated Postgres; gives its address."""
    postgres = EmbeddedPostgres.start(Path(folder) / "postgres")
    try:
        migrate(make_url(postgres.url).set(drivername="postgresql+psycopg"))
        yield postgres.url
    finally:
        postgres.stop()


def demands(figures: Mapping[str, float]) -> dict[str, bool]:
    """What must be true."""
    return {
        "no request failed": figures["failed"] == 0,
        "each answer is that of the bundle it names": figures["inconsistent"] == 0,
        "answers came from both bundles": figures["of_the_rarer_bundle"] > 0,
        "memory stays": figures["memory_growth"] <= LARGEST_GROWTH,
    }


def measured(service: Service, database_url: str, vault: Vault) -> dict[str, float]:
    """Make the collection and its bundles, and measure."""
    manifest = read_manifest(DEFAULT_EMBEDDER)
    identity = EmbedderIdentity(manifest.name, manifest.sha256)
    model = likely_model(identity, manifest.dimension)
    collection = SyntheticCollection(database_url, vault, model, seed=SEED)
    collection.enrol(SUBJECTS, samples=SAMPLES)
    client = service.client()
    wait_until_taken_up(client, str(collection.id))
    for name in ENROLLED:
        status, answer = client.post(
            "/enroll", [("images", small(name))], {"collection": str(collection.id)}
        )
        assert status == 201, answer
    bundles = [retrain(client, str(collection.id))]
    collection.enrol(LATER, samples=SAMPLES)
    bundles.append(retrain(client, str(collection.id)))
    load = Load(service, str(collection.id), {name: small(name) for name in PROBES})
    for bundle in bundles:
        activate(client, bundle)
        load.expected[bundle] = {name: load.ask(client, name) for name in PROBES}
    assert load.expected[bundles[0]] != load.expected[bundles[1]]
    return alone_and_swapped(load, bundles) | beside_a_retraining(load)


def wait_until_taken_up(client: Client, collection: str) -> None:
    """Wait until the service has seen what was written into its tables."""
    while (shown := client.get(f"/collections/{collection}"))[0] != 200 or not shown[1]["gallery"]:
        time.sleep(0.1)


def small(name: str) -> bytes:
    """A picture, reduced: not its decoding is to be measured."""
    with Image.open(PICTURES / f"{name}.jpg") as image:
        image.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=92)
    return out.getvalue()


def retrain(client: Client, collection: str) -> str:
    """Train all subnets anew; gives the bundle."""
    bundle: str = follow(client, begin_full(client, collection))["bundle_id"]
    return bundle


def begin_full(client: Client, collection: str) -> Answer:
    """Begin a retraining of all subnets; gives the job."""
    wanted = {"collection": collection, "full": True, "target_size": TARGET_SIZE}
    status, job = client.post_json("/admin/retrain", wanted)
    assert status == 202, job
    return job


def activate(client: Client, bundle: str) -> None:
    status, answer = client.post_json(f"/admin/bundles/{bundle}/activate", {})
    assert status == 200, answer


@dataclass
class Load:
    """What clients ask, and what the answers were."""

    service: Service
    collection: str
    pictures: Mapping[str, bytes]
    expected: dict[str, dict[str, Answer]] = field(default_factory=dict)
    """By bundle and picture."""
    failed: int = 0
    inconsistent: int = 0
    by_bundle: dict[str, int] = field(default_factory=dict)

    def ask(self, client: Client, name: str) -> Answer:
        """Identify a picture; gives what must be the same each time, and the bundle."""
        answer = client.identify(self.pictures[name], {"collection": self.collection})
        faces = [
            {part: face[part] for part in ("decision", "probability", "candidates", "routing")}
            for face in answer["faces"]
        ]
        told = {"bundle": answer["bundle"], "threshold": answer["threshold"], "faces": faces}
        # As text and back: nothing of the answer itself is held on to.
        kept: Answer = json.loads(json.dumps(told))
        return kept

    def seconds(self, until: Callable[[], bool], clients: int) -> list[float]:
        """Have clients ask until it is enough; gives how long each answer took."""
        with ThreadPoolExecutor(clients) as pool:
            parts = list(pool.map(lambda number: self._one(number, until), range(clients)))
        return [each for part in parts for each in part]

    def _one(self, number: int, until: Callable[[], bool]) -> list[float]:
        client, names = self.service.client(), list(self.pictures)
        taken: list[float] = []
        while not until():
            name = names[(number + len(taken)) % len(names)]
            start = time.perf_counter()
            try:
                answer = self.ask(client, name)
            except (OSError, RuntimeError, ValueError):
                self.failed += 1
                client = self.service.client()
                continue
            taken.append(time.perf_counter() - start)
            bundle = answer["bundle"]
            self.by_bundle[bundle] = self.by_bundle.get(bundle, 0) + 1
            if answer != self.expected.get(bundle, {}).get(name):
                self.inconsistent += 1
        client.close()
        return taken


def alone_and_swapped(load: Load, bundles: Sequence[str]) -> dict[str, float]:
    """Load alone, then the same load while bundles are swapped."""
    process = psutil.Process(load.service.pid)
    end = time.monotonic() + ALONE_S
    alone = load.seconds(lambda: time.monotonic() > end, CLIENTS)
    over = threading.Event()
    load.by_bundle.clear()
    client = load.service.client()  # a new one: the service closes those that are idle
    with ThreadPoolExecutor(1) as aside:
        asking = aside.submit(load.seconds, over.is_set, CLIENTS)
        memory, swaps = [], []
        try:
            for number in track(range(-WARMING_SWAPS, SWAPS), description="swaps"):
                start = time.perf_counter()
                activate(client, bundles[number % len(bundles)])
                took_s = time.perf_counter() - start
                time.sleep(PAUSE_S)
                if number >= 0:
                    swaps.append(took_s)
                    memory.append(process.memory_info().rss / 2**20)
        finally:
            over.set()
        swapped = asking.result()
    quarter = SWAPS // 4
    first, last = np.median(memory[:quarter]), np.median(memory[-quarter:])
    return {
        "swaps": SWAPS,
        "clients": CLIENTS,
        "swap_ms": float(np.median(swaps)) * 1e3,
        "requests": len(alone) + len(swapped),
        "requests_while_swapping": len(swapped),
        "of_the_rarer_bundle": min(load.by_bundle.get(bundle, 0) for bundle in bundles),
        "failed": load.failed,
        "inconsistent": load.inconsistent,
        "memory_first_quarter_mib": float(first),
        "memory_last_quarter_mib": float(last),
        "memory_growth": float(last / first - 1),
        **percentiles("alone", alone),
        **percentiles("swapping", swapped),
    }


def beside_a_retraining(load: Load) -> dict[str, float]:
    """What one client gets, without a retraining and beside one."""
    end = time.monotonic() + ALONE_S
    alone = load.seconds(lambda: time.monotonic() > end, 1)
    over = threading.Event()
    client = load.service.client()
    with ThreadPoolExecutor(1) as aside:
        job = begin_full(client, load.collection)
        asking = aside.submit(load.seconds, over.is_set, 1)
        try:
            follow(client, job)
        finally:
            over.set()
        beside = asking.result()
    return percentiles("one_client", alone) | percentiles("one_client_while_training", beside)


def percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {f"{name}_p50_ms": float(p50), f"{name}_p99_ms": float(p99)}


if __name__ == "__main__":
    main()
