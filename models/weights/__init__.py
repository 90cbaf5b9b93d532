"""The nets that Cohort ships, each in a folder with its provenance and SHA-256."""

from pathlib import Path

WEIGHTS = Path(__file__).parent
DEFAULT_EMBEDDER = WEIGHTS / "mobilefacenet-192" / "manifest.toml"
MTCNN_FOLDER = WEIGHTS / "mtcnn"
