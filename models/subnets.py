"""The subnets of a bundle at work: opened when first needed, dropped when memory is short.

Their weights are memory-mapped. Of 100 subnets of 2,500 classes and 192 values (192 MB), opening
all and running each took 12 MB that only this process can use, and 183 MB of pages of files, which
the system may take back and processes share. As ONNX Runtime does it by default, with weights
rearranged, all of 195 MB were of the first sort, and 338 MB with the weights inside the nets.
Opening one took 0.7 ms rather than 2.5, and a probe 0.24 ms rather than 0.11 when each came to
another subnet, about 0.04 ms either way when they came to the same.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import onnxruntime as ort

from models.arrays import Floats
from models.bundle_format import weights_of
from models.runtime import open_session


class Subnets:
    """Runs the subnets of a bundle; from several threads at once, too."""

    def __init__(self, files: Sequence[Path], *, memory_limit_bytes: int, threads: int = 1) -> None:
        """Open nothing yet.

        Args:
            files: the nets of m subnets, each with its weights beside it.
            memory_limit_bytes: that the weights of opened subnets may take together. Beyond it
                the least recently used ones are closed, but one may always stay.
            threads: that share the work of one run.
        """
        self._files = files
        self._limit = memory_limit_bytes
        self._threads = threads
        self._opened: OrderedDict[int, tuple[ort.InferenceSession, int]] = OrderedDict()
        self._lock = Lock()

    def cosines(self, number: int, probes: Floats) -> Floats:
        """Run one subnet.

        Args:
            number: of the subnet.
            probes: (n, d) float32 templates.

        Returns:
            (n, k) cosines in [-1, 1], one column an output of the subnet.

        Raises:
            NetInvalid: the file is no net that ONNX Runtime can open.
            FileNotFoundError: it is gone.
        """
        (outputs,) = self._session(number).run(None, {"template": probes})
        cosines: Floats = outputs
        return cosines

    @property
    def loaded_bytes(self) -> int:
        """Weights of all subnets that are open."""
        with self._lock:
            return sum(size for _, size in self._opened.values())

    @property
    def loaded_count(self) -> int:
        """Subnets that are open."""
        return len(self._opened)

    def _session(self, number: int) -> ort.InferenceSession:
        with self._lock:
            if number in self._opened:
                self._opened.move_to_end(number)
                return self._opened[number][0]
        # Opened outside the lock, so that probes for open subnets needn't wait. Two threads may
        # open the same one; the second is thrown away.
        file = self._files[number]
        opened = open_session(file, threads=self._threads, mapped=True)
        size = weights_of(file).stat().st_size
        with self._lock:
            session, _ = self._opened.setdefault(number, (opened, size))
            self._opened.move_to_end(number)
            held = sum(size for _, size in self._opened.values())
            # A run under way keeps the session that it took.
            while held > self._limit and len(self._opened) > 1:
                _, (_, dropped) = self._opened.popitem(last=False)
                held -= dropped
        return session
