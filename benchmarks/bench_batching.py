"""Is it worth while to send the faces of concurrent requests through the embedder together?

    make bench-batching                   PROVIDER=cuda where there is one

Every face alone against up to eight in a run: the embedder by itself, from as many threads as
there are clients, and whole requests over HTTP, with as many workers. Both ways take turns of a few
seconds each in one run; what counts are the ratios.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.measures import in_percentiles
from benchmarks.report import write_results
from benchmarks.service import Client, Service, running_service
from models.embed import Embedder, embed
from models.identifier import QueryPath, find_faces
from models.runtime import Provider, configure_threads
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest

ALONE, TOGETHER = 1, 8
CLIENTS = (1, 4, 8, 16)
PICTURE = Path(__file__).parents[1] / "tests" / "data" / "obama.jpg"

Work = Callable[[], object]
Seconds = list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", choices=get_args(Provider), default="cpu")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    arguments = parser.parse_args()
    write_results("batching", measure(arguments.provider, arguments.rounds, arguments.seconds))


def measure(provider: Provider, rounds: int, seconds: float) -> dict[str, float]:
    """Compare both ways at each number of clients."""
    configure_threads(1)
    picture = PICTURE.read_bytes()
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        crops = find_faces(QueryPath.open(), picture).crops
        embedders = {limit: _embedder(provider, limit) for limit in (ALONE, TOGETHER)}
        services = {
            limit: stack.enter_context(_service(provider, limit)) for limit in (ALONE, TOGETHER)
        }
        for clients in CLIENTS:
            figures |= _compare(
                f"embedder_{clients}",
                {
                    limit: [partial(embed, each, crops)] * clients
                    for limit, each in embedders.items()
                },
                rounds,
                seconds,
            )
            with ExitStack() as connections:

                def asking(service: Service) -> Work:
                    client = connections.enter_context(closing(service.client()))
                    return partial(Client.identify, client, picture)

                figures |= _compare(
                    f"request_{clients}",
                    {
                        limit: [asking(service) for _ in range(clients)]
                        for limit, service in services.items()
                    },
                    rounds,
                    seconds,
                )
    return figures


def _embedder(provider: Provider, limit: int) -> Embedder:
    return Embedder.open(read_manifest(DEFAULT_EMBEDDER), provider=provider, batch_limit=limit)


def _service(provider: Provider, limit: int) -> AbstractContextManager[Service]:
    return running_service(
        sys.executable,
        {
            "COHORT_PROVIDER": provider,
            "COHORT_EMBED_BATCH_LIMIT": str(limit),
            "COHORT_INFERENCE_WORKERS": str(max(CLIENTS)),
        },
    )


def _compare(
    what: str, works: dict[int, list[Work]], rounds: int, seconds: float
) -> dict[str, float]:
    """Have both ways take turns; a work for each client.

    Returns:
        Runs a second and waits of both, and the ratios: above 1, more than alone.
    """
    waits: dict[int, Seconds] = defaultdict(list)
    spent: dict[int, float] = defaultdict(float)
    for number in range(-1, rounds):
        for limit, of_clients in works.items():
            start = time.perf_counter()
            with ThreadPoolExecutor(len(of_clients)) as pool:
                taken = list(pool.map(partial(_repeat, start + seconds), of_clients))
            if number >= 0:  # the first turn only warms up
                spent[limit] += time.perf_counter() - start
                waits[limit].extend(np.concatenate(taken))
    figures: dict[str, float] = {}
    for limit, name in ((ALONE, "alone"), (TOGETHER, "together")):
        figures[f"{what}_{name}_per_s"] = len(waits[limit]) / spent[limit]
        figures |= in_percentiles(f"{what}_{name}", [wait * 1e3 for wait in waits[limit]])
    for figure in ("per_s", "p50_ms", "p99_ms"):
        figures[f"{what}_ratio_{figure}"] = (
            figures[f"{what}_together_{figure}"] / figures[f"{what}_alone_{figure}"]
        )
    return figures


def _repeat(end: float, work: Work) -> Seconds:
    """Do a work again and again, once at least; how long each took."""
    taken: Seconds = []
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


if __name__ == "__main__":
    main()
