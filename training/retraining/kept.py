"""Subnets that stay: taken over from the active bundle, without who is gone, with who is new."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.arrays import Floats
from models.bundle import Bundle
from models.bundle_format import weights_of
from training.retraining.refresh import Refresh
from training.stores.shards import write_whole
from training.subnets.export import export_subnet

STIFFNESS = 0.3
"""How hard it is to turn a class mean, against k / d of the k classes that show how."""


def keep_subnet(refresh: Refresh, number: int, class_means: Floats, file: Path) -> bool:
    """Write the net of a subnet that is not trained again.

    Args:
        refresh: what becomes of the classes.
        number: of the subnet.
        class_means: (N, d) unit rows, from which new weights are made.
        file: of the net.

    Returns:
        Whether it is another net than before: somebody came, went or is imprinted anew.

    Raises:
        OSError: a file can't be read or written.
        ExportFailed: the net does not give the cosines of its weight.
    """
    active = refresh.active
    members = np.flatnonzero(refresh.clusters == number)
    rows = refresh.rows[members]
    printed = refresh.printed[members]
    if not printed.any() and np.array_equal(rows, active.subnet_classes(number)):
        # Its weights stand beside it in the bundle and within it here.
        net = onnx.load_model(active.subnet_file(number))
        for each in net.graph.initializer:
            each.ClearField("data_location")
        write_whole(file, net.SerializeToString(deterministic=True))
        return False
    means = class_means[members]
    weight = np.empty_like(means)
    weight[~printed] = _weights(active, number)[active.class_columns[rows[~printed]]]
    trained = ~refresh.imprinted[members]
    weight[printed] = imprint(means[printed], means[trained], weight[trained])
    write_whole(file, export_subnet(weight))
    return True


def imprint(new: Floats, means: Floats, weights: Floats) -> Floats:
    """Weights for new classes: their means, turned as training has turned those of the others.

    Training turns all rows of a subnet away from what its templates have in common, the traces of
    poor pictures say. Class means as weights would not be: on synthetic templates with such
    traces, 2 % of the classes with their means as weights drew 6 % of the wrong names given to
    strangers, and with these weights 2 %. The turn is the linear map B closest to none:
    of all B, |W - M (I + B)|^2 + s k / d |B|^2 is least, s being `STIFFNESS`.

    Args:
        new: (n, d) unit means of the new classes.
        means: (k, d) unit means M of the classes that the subnet was trained with.
        weights: (k, d) their trained unit rows W.

    Returns:
        (n, d) unit rows.
    """
    classes, dimension = means.shape
    stiff = max(classes, 1) * STIFFNESS / dimension * np.eye(dimension)
    doubles = means.astype(np.float64)
    turn = np.linalg.solve(doubles.T @ doubles + stiff, doubles.T @ (weights - doubles))
    turned = new + new @ turn
    rows: Floats = (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)
    return rows


def _weights(active: Bundle, number: int) -> NDArray[np.float32]:
    """(k, d) rows of a subnet, in the order of its outputs."""
    values = np.fromfile(weights_of(active.subnet_file(number)), "<f4")
    return values.reshape(-1, active.manifest.dimension)
