"""The array types that the query path's signatures share."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""float32 values: templates, boxes, landmarks, scores. The docstring beside gives the shape."""

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB, upright: rows run down, columns run right."""
