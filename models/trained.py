"""What training gives to a search: a bundle, its subnets, and how scores are joined."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.arrays import Floats
from models.bundle import Bundle
from models.bundle_format import CALIBRATION, BundleInvalid, Identity
from models.fusion import Fusion
from models.probability import Probability
from models.subnets import Subnets


@dataclass(frozen=True, eq=False)
class Trained:
    """An opened bundle."""

    bundle: Bundle
    subnets: Subnets
    fusion: Fusion
    probability: Probability | None = None
    """None: there was nothing to fit it to, so the prior's is used."""

    @classmethod
    def open(
        cls, folder: Path, *, embedder: Identity, memory_limit_bytes: int, threads: int = 1
    ) -> Self:
        """Verify and open a bundle.

        Args:
            folder: of the bundle.
            embedder: that makes the probes' templates.
            memory_limit_bytes: that the weights of opened subnets may take.
            threads: that share one run of a subnet.

        Raises:
            BundleInvalid: it can't be used; the message names the file.
        """
        bundle = Bundle.open(folder, embedder=embedder)
        return cls.of(bundle, memory_limit_bytes=memory_limit_bytes, threads=threads)

    @classmethod
    def of(cls, bundle: Bundle, *, memory_limit_bytes: int, threads: int = 1) -> Self:
        """Take an opened bundle; its subnets are opened when they are needed.

        Raises:
            BundleInvalid: its calibration does not say how to decide.
        """
        told = bundle.calibration
        try:
            fusion = Fusion.of_json(told["fusion"])
            fitted = told.get("probability")
            probability = None if fitted is None else Probability.of_json(fitted)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleInvalid(
                f"{bundle.folder / CALIBRATION}: does not say how to decide ({error!r})"
            ) from error
        files = [bundle.subnet_file(number) for number in range(bundle.cluster_count)]
        subnets = Subnets(files, memory_limit_bytes=memory_limit_bytes, threads=threads)
        return cls(bundle, subnets, fusion, probability)

    @property
    def id(self) -> str:
        """Of the bundle."""
        return self.bundle.id

    @property
    def watermark(self) -> int:
        """Revision of the collection that the bundle knows; 0 if it was not made from one."""
        return self.bundle.manifest.watermark or 0

    def outputs(self, clusters: list[int], probe: Floats) -> dict[int, Floats]:
        """Run the subnets of some clusters: the (k,) cosines of a (d,) probe by each."""
        return {cluster: self.subnets.cosines(cluster, probe[None])[0] for cluster in clusters}
