from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.arrays import Floats
from models.runtime import NetInvalid
from models.subnets import Subnets
from tests.training.small_stores import unit_rows
from training.subnets.export import export_subnet, with_weights_beside

CLASSES = [5, 7, 3, 6]
DIMENSION = 16
ROW_BYTES = 4 * DIMENSION


def weights_of(number: int) -> Floats:
    return unit_rows(np.random.default_rng(number), CLASSES[number], DIMENSION)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number:03}.onnx" for number in range(len(CLASSES))]
    for number, path in enumerate(paths):
        net, weights = with_weights_beside(
            export_subnet(weights_of(number)), f"{number:03}.weights"
        )
        path.write_bytes(net)
        path.with_suffix(".weights").write_bytes(weights)
    return paths


@pytest.fixture
def probes() -> Floats:
    return unit_rows(np.random.default_rng(9), 4, DIMENSION)


def test_each_gives_the_cosines_of_its_weights(files: list[Path], probes: Floats) -> None:
    subnets = Subnets(files, memory_limit_bytes=10**6)
    for number in (2, 0, 3, 1, 0):
        cosines = subnets.cosines(number, probes)
        assert cosines.dtype == np.float32
        np.testing.assert_allclose(cosines, probes @ weights_of(number).T, atol=1e-6)
    assert subnets.cosines(1, probes[:1]).shape == (1, 7)


def test_only_what_is_needed_is_opened(files: list[Path], probes: Floats) -> None:
    for path in files[1:]:
        path.unlink()
    subnets = Subnets(files, memory_limit_bytes=10**6)
    assert (subnets.loaded_count, subnets.loaded_bytes) == (0, 0)
    subnets.cosines(0, probes)
    assert (subnets.loaded_count, subnets.loaded_bytes) == (1, 5 * ROW_BYTES)
    with pytest.raises(FileNotFoundError, match=r"001\.onnx"):
        subnets.cosines(1, probes)


def opened(subnets: Subnets, files: list[Path], probes: Floats) -> set[int]:
    """Which subnets run though their files are gone: looked at once, for it leaves none."""
    found = set()
    for path in files:
        path.unlink(missing_ok=True)
    for number in range(len(files)):
        try:
            subnets.cosines(number, probes)
        except FileNotFoundError:
            continue
        found.add(number)
    return found


@pytest.mark.parametrize(
    ("limit", "used", "stay"),
    [
        (0, [0, 1], {1}),
        (12 * ROW_BYTES, [0, 1], {0, 1}),
        (12 * ROW_BYTES, [0, 1, 2], {1, 2}),
        (12 * ROW_BYTES, [0, 1, 0, 2], {0, 2}),
        (11 * ROW_BYTES, [0, 1, 2, 3], {2, 3}),
        (21 * ROW_BYTES, [0, 1, 2, 3], {0, 1, 2, 3}),
    ],
)
def test_the_least_recently_used_ones_are_dropped(
    limit: int, used: list[int], stay: set[int], files: list[Path], probes: Floats
) -> None:
    subnets = Subnets(files, memory_limit_bytes=limit)
    for number in used:
        subnets.cosines(number, probes)
    assert subnets.loaded_count == len(stay)
    assert subnets.loaded_bytes == sum(CLASSES[number] for number in stay) * ROW_BYTES
    assert opened(subnets, files, probes) == stay


def test_several_threads_may_run_them_at_once(files: list[Path], probes: Floats) -> None:
    subnets = Subnets(files, memory_limit_bytes=8 * ROW_BYTES)
    numbers = np.random.default_rng(0).integers(0, 4, 400).tolist()
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda number: subnets.cosines(number, probes), numbers)
        for number, cosines in zip(numbers, answers, strict=True):
            np.testing.assert_allclose(cosines, probes @ weights_of(number).T, atol=1e-6)
    assert subnets.loaded_bytes <= 8 * ROW_BYTES


def test_what_is_no_net_is_named(files: list[Path], probes: Floats) -> None:
    files[1].write_bytes(b"no net")
    subnets = Subnets(files, memory_limit_bytes=10**6)
    with pytest.raises(NetInvalid, match=r"001\.onnx"):
        subnets.cosines(1, probes)
    assert subnets.loaded_count == 0


def memory_kb() -> dict[str, int]:
    """Of this process, by the kernel's account."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def test_weights_stay_in_their_files(tmp_path: Path) -> None:
    count, classes, dimension = 10, 20_000, 64
    weights = unit_rows(np.random.default_rng(0), classes, dimension)
    net, data = with_weights_beside(export_subnet(weights), "net.weights")
    files = []
    for number in range(count):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "net.weights").write_bytes(data)
        (folder / "net.onnx").write_bytes(net)
        files.append(folder / "net.onnx")
    subnets = Subnets(files, memory_limit_bytes=10**9)
    subnets.cosines(0, weights[:1])
    before = memory_kb()
    for number in range(1, count):
        subnets.cosines(number, weights[:1])
    own = memory_kb()["Anonymous"] - before["Anonymous"]
    # Anonymous memory is what no file holds; a copy of the weights would be 46,000 kB of it.
    assert own < 0.2 * (count - 1) * len(data) / 1024
