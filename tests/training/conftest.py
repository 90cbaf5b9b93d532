"""Tests of what imports torch at once are collected only where there is torch."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

NEED_TORCH = [
    f"subnets/test_{name}.py"
    for name in ("export", "files", "repulsion", "training", "tasks", "cluster_backend")
]
NEED_TORCH += [f"timing/test_{name}.py" for name in ("epochs", "fresh_process")]
NEED_TORCH += [
    f"report/test_{name}.py"
    for name in (
        "background", "drawing", "plots", "recognition", "rejection", "retraining", "score_plots",
        "write",
    )
]  # fmt: skip
NEED_TORCH += [
    f"evaluation/test_{name}.py"
    for name in (
        "contenders", "curves", "evaluate", "extras", "repetition", "scenarios", "shown",
        "strangers",
    )
]  # fmt: skip
collect_ignore = [] if find_spec("torch") else NEED_TORCH


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On tensors this small, a second thread only waits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
