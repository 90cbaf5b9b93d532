import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from training.stores.shards import OtherPlan, Shards


def values(shards: Shards) -> list[list[int]]:
    return [arrays["x"].tolist() for arrays in shards]


def append(shards: Shards, *numbers: int) -> None:
    shards.append({"x": np.array(numbers)})


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "new" / "shards", {"seed": 1})
    assert values(shards) == []
    append(shards, 1, 2)
    append(shards)
    append(shards, 3)
    assert len(shards) == 3
    assert values(shards) == values(Shards(shards.folder, {"seed": 1})) == [[1, 2], [], [3]]


def test_any_byte_changed_ends_the_shards_before_it(tmp_path: Path) -> None:
    shards = Shards(tmp_path, {})
    for number in range(3):
        append(shards, number)
    path = tmp_path / "000001.shard"
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[position] ^= 16
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"000001\.shard: is damaged"):
            values(shards)
    for damaged in (b"", whole[:20], whole[:-1], whole + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"000001\.shard: is damaged"):
            values(shards)

    shards = Shards(tmp_path, {})
    assert values(shards) == [[0]]
    # What stood after the gap is gone, so that it can't come back between newer shards.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.shard", "plan.json"]


def test_another_plan_is_refused_and_leaves_all(tmp_path: Path) -> None:
    append(Shards(tmp_path, {"seed": 1, "size": 2}), 1)
    with pytest.raises(OtherPlan, match=r"plan\.json"):
        Shards(tmp_path, {"seed": 2, "size": 2})
    assert values(Shards(tmp_path, {"size": 2, "seed": 1})) == [[1]]


def _append_until_killed(folder: Path) -> None:
    shards = Shards(folder, {})
    while True:
        append(shards, *([len(shards)] * 1_000))
        if len(shards) == 20:
            os.kill(os.getpid(), 9)


def test_shards_outlast_a_kill(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_append_until_killed, args=(tmp_path,)
    )
    process.start()
    process.join()
    assert process.exitcode == -9
    assert values(Shards(tmp_path, {})) == [[number] * 1_000 for number in range(20)]


def test_a_full_disk_costs_the_shard_alone(tmp_path: Path) -> None:
    shards = Shards(tmp_path, {})
    append(shards, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            append(shards, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert values(shards) == [[1]]
    append(shards, 3)
    assert values(shards) == values(Shards(tmp_path, {})) == [[1], [3]]
