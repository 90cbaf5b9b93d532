"""Where ONNX Runtime, OpenCV and faiss are configured: providers, threads, logging.

Nothing else in the project builds an `InferenceSession` for serving, so what holds here holds for
every net: the asked execution provider or an error, no busy waiting, no per-initialiser warnings.
"""

from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import onnxruntime as ort

Provider = Literal["cpu", "cuda", "openvino"]
"""Where the nets run; the values of the setting `COHORT_PROVIDER`."""

PROVIDERS: tuple[Provider, ...] = get_args(Provider)

_NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_PACKAGES: dict[Provider, str] = {
    "cpu": "onnxruntime",
    "cuda": "onnxruntime-gpu",
    "openvino": "onnxruntime-openvino",
}
_LOG_ERRORS_ONLY = 3  # 2 would print a warning for each unused initialiser of some nets


class ProviderMissing(RuntimeError):
    """The asked execution provider is not in this install; the message says what to install."""


class NetInvalid(ValueError):
    """A file is no net that ONNX Runtime can open; the message names it."""


def configure_threads(threads: int) -> None:
    """Limit OpenCV in the whole process, and faiss in the calling thread, to `threads` threads.

    OpenMP, which faiss uses, keeps its limit per thread: a thread that has not called this uses
    every core. So worker threads call it too, e.g. as the `initializer` of their pool. ONNX
    Runtime's threads belong to a session: see `open_session`.

    Args:
        threads: at least 1.

    Raises:
        ValueError: `threads` is below 1.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    cv2.setNumThreads(threads)
    configure_searches(threads)


def configure_searches(threads: int) -> None:
    """Limit faiss in the calling thread, and nothing else, to `threads` threads, at least 1."""
    # faiss is absent where nets are only exported and checked, so it is imported where it is used.
    import faiss

    faiss.omp_set_num_threads(threads)


def open_session(
    path: Path, *, provider: Provider = "cpu", threads: int = 1, mapped: bool = False
) -> ort.InferenceSession:
    """Open an ONNX file for inference. `session.run` may be called from several threads at once.

    Args:
        path: the `.onnx` file.
        provider: where to run. ONNX Runtime may still place single operators that the provider
            lacks on the CPU; that the provider itself is missing is an error.
        threads: threads that share one operator's work, at least 1.
        mapped: keep weights that lie in a file beside the net there, memory-mapped, rather than
            rearrange a copy of them: for many nets of which few run (`models/subnets.py` has what
            it costs and gains).

    Raises:
        FileNotFoundError: there is no such file.
        NetInvalid: the file is no net that ONNX Runtime can open.
        ProviderMissing: `provider` is not in this install, or it could not be started.
        ValueError: `threads` is below 1.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if not path.is_file():
        raise FileNotFoundError(f"no such net: {path}")
    if _NAMES[provider] not in ort.get_available_providers():
        raise _missing(
            provider,
            f"is not in this install of ONNX Runtime: put the package {_PACKAGES[provider]} "
            "in the place of the one that is installed",
        )
    try:
        session = ort.InferenceSession(
            path,
            sess_options=_session_options(threads, mapped),
            providers=_providers(provider, threads),
            enable_fallback=0,  # its fall-back would print to stdout and carry on with the CPU
        )
    # ONNX Runtime's own errors share no class but this one.
    except Exception as error:
        if provider == "cpu":
            raise NetInvalid(f"{path}: ONNX Runtime can't open it as a net ({error})") from error
        raise _missing(provider, f"did not open {path.name}: {error}") from error
    # A provider whose libraries can't be loaded is dropped with a line on stderr, not an error.
    if _NAMES[provider] not in session.get_providers():
        raise _missing(
            provider,
            "is installed but did not start: its libraries or the driver are missing, or of "
            "another version than ONNX Runtime asks for on stderr",
        )
    return session


def run_on_noughts(session: ort.InferenceSession) -> None:
    """Run a net once for nothing: the first run allocates and tunes, and takes far longer.

    Sides that a net leaves open are taken as 48 pixels, enough for each of the detector's.
    """
    feeds = {}
    for end in session.get_inputs():
        shape = [1, *(length if isinstance(length, int) else 48 for length in end.shape[1:])]
        feeds[end.name] = np.zeros(shape, np.float32)
    session.run(None, feeds)


def _session_options(threads: int, mapped: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Waiting threads would otherwise spin, at the cost of the requests beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # An arena never gives back what the largest picture needed: after one of 4,000 by 4,000 pixels
    # the process kept 840 MB instead of 270, and no request is faster for it (fastest of 30: 36 ms
    # both ways).
    options.enable_cpu_mem_arena = False
    if mapped:
        options.add_session_config_entry("session.disable_prepacking", "1")
        # Thousands may be open. Of 400, this way each takes 54 KB beside its weights and 0.45 ms to
        # open; 144 and 0.6 else, and runs no faster: nothing in it can be optimised.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _providers(provider: Provider, threads: int) -> list[str | tuple[str, dict[str, str]]]:
    """The provider with its options first, the CPU last for the operators that it lacks."""
    cpu = _NAMES["cpu"]
    match provider:
        case "cpu":
            return [cpu]
        case "cuda":
            # The default search tries every algorithm again for each new size of picture.
            return [(_NAMES["cuda"], {"cudnn_conv_algo_search": "HEURISTIC"}), cpu]
        case "openvino":
            options = {"device_type": "CPU", "num_of_threads": str(threads)}
            return [(_NAMES["openvino"], options), cpu]


def _missing(provider: Provider, what: str) -> ProviderMissing:
    return ProviderMissing(
        f"The execution provider {provider!r} {what}. docs/guides/providers.md has the commands; "
        "COHORT_PROVIDER=cpu runs without it."
    )
