"""Tests of what imports torch at once are collected only where there is torch."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

NEED_TORCH = [
    "test_subnet_export.py",
    "test_subnet_files.py",
    "test_subnet_training.py",
    "test_subnets.py",
]
collect_ignore = [] if find_spec("torch") else NEED_TORCH


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On tensors this small, a second thread only waits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
