"""The nets: are they the ones that they should be, and can they run here?"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import Finding, failed, ok
from app.settings import Settings
from models.calibration import Calibration, CalibrationInvalid
from models.detect import DetectorNets
from models.runtime import NetInvalid, ProviderMissing
from models.weights import MTCNN_FOLDER
from models.zoo import EmbedderManifest, ManifestInvalid, read_manifest

DETECTOR_SHA256 = {
    "pnet.onnx": "dfc823a81923c659d94d494b582f05167f8671b25f4cf19ff1749effcc523133",
    "rnet.onnx": "ff2ba6aaf650f1af1a56eac9cd6cff422c70ffff5c1907aa635729602ad2ec8e",
    "onet.onnx": "4f80a7a8c24d42981d1692be7fa52fa5804cc06b7809ef0a56434f571c52b2a0",
}
"""As models/weights/mtcnn/README.md has them."""
REINSTALL = "Install Cohort anew: files that it ships are damaged."


def look_at_weights(settings: Settings) -> Iterator[Finding]:
    """Compare each embedder with its checksum, and open the detector."""
    for path in (settings.embedder, *settings.further_embedders):
        try:
            manifest = read_manifest(path)
            Calibration.of(manifest)
        except (ManifestInvalid, CalibrationInvalid, OSError) as error:
            yield failed(
                "weights", str(error), "Get the embedder's files again, or install Cohort anew."
            )
        else:
            yield ok("weights", f"{manifest.name}: checksum and calibration fit")
    damaged = [name for name in DETECTOR_SHA256 if not _is_sound(name)]
    if damaged:
        yield failed(
            "weights", f"{', '.join(damaged)} of the detector: damaged or missing", REINSTALL
        )
        return
    try:
        DetectorNets.open(MTCNN_FOLDER, provider=settings.provider)
    except ProviderMissing as error:
        yield failed("weights", str(error), "Install it, or unset COHORT_PROVIDER.")
    except (NetInvalid, OSError) as error:
        yield failed("weights", str(error), REINSTALL)
    else:
        yield ok("weights", f"the detector can be opened by {settings.provider}")


def _is_sound(name: str) -> bool:
    try:
        with (MTCNN_FOLDER / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == DETECTOR_SHA256[name]
    except OSError:
        return False


def manifests(settings: Settings) -> list[EmbedderManifest]:
    """Read the embedders that are sound."""
    found = []
    for path in (settings.embedder, *settings.further_embedders):
        try:
            found.append(read_manifest(Path(path)))
        except (ManifestInvalid, OSError):
            continue
    return found
