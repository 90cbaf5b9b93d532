"""The nets, opened once."""

import pytest

from models.detect import DetectorNets
from models.weights import MTCNN_FOLDER


@pytest.fixture(scope="session")
def nets() -> DetectorNets:
    return DetectorNets.open(MTCNN_FOLDER)
