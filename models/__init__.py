"""The query path: picture -> faces -> templates -> route -> decision.

numpy, ONNX Runtime, faiss, Pillow and OpenCV only; `app` and `training` build on it.
"""

import os

# ONNX Runtime's wheels report to their makers from their import on: a device id, the processor,
# the sessions. Its function to switch that off comes too late; this stands before every import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
