"""These tests are about torch modules alone, so where there is no torch none is collected."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """On tensors this small, a second thread only waits: ten times as long on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
