"""A load generator in a process of its own, so that its processor time can be told apart.

Prints one JSON line: answered requests, wall seconds, and the processor seconds it used itself.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.service import Client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("pictures", nargs="+", type=Path)
    arguments = parser.parse_args()
    pictures = [picture.read_bytes() for picture in arguments.pictures]
    start, used = time.monotonic(), processor_seconds()

    def ask_until_the_end(number: int) -> int:
        client, answered = Client(arguments.port, arguments.key), 0
        while time.monotonic() - start < arguments.seconds:
            picture = pictures[(number + answered * arguments.clients) % len(pictures)]
            client.identify(picture)
            answered += 1
        return answered

    with ThreadPoolExecutor(arguments.clients) as pool:
        answered = sum(pool.map(ask_until_the_end, range(arguments.clients)))
    print(
        json.dumps(
            {
                "requests": answered,
                "wall_s": time.monotonic() - start,
                "cpu_s": processor_seconds() - used,
            }
        )
    )


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
