import threading
from pathlib import Path

import cv2
import faiss
import numpy as np
import onnxruntime as ort
import pytest

from models.runtime import (
    PROVIDERS,
    NetInvalid,
    Provider,
    ProviderMissing,
    configure_threads,
    open_session,
)
from models.weights import WEIGHTS

NET = WEIGHTS / "mtcnn" / "rnet.onnx"


def test_opened_net_runs_on_the_cpu_with_the_given_threads() -> None:
    session = open_session(NET, threads=2)
    assert session.get_providers() == ["CPUExecutionProvider"]
    options = session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    crops = np.zeros((2, 3, 24, 24), np.float32)
    assert all(len(output) == 2 for output in session.run(None, {"pixels": crops}))


def test_weights_are_left_where_they_are_mapped_only_when_asked_for() -> None:
    entry = "session.disable_prepacking"
    with pytest.raises(RuntimeError, match="does not have"):
        open_session(NET).get_session_options().get_session_config_entry(entry)
    options = open_session(NET, mapped=True).get_session_options()
    assert options.get_session_config_entry(entry) == "1"


def test_opening_a_net_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    open_session(NET)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx"):
        open_session(tmp_path / "absent.onnx")


def test_threads_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        open_session(NET, threads=0)
    with pytest.raises(ValueError, match="at least 1"):
        configure_threads(0)


@pytest.mark.parametrize(
    ("provider", "extra"), [("cuda", "onnxruntime-gpu"), ("openvino", "onnxruntime-openvino")]
)
def test_a_provider_that_is_not_installed_is_an_error_that_says_what_to_install(
    provider: Provider, extra: str
) -> None:
    with pytest.raises(ProviderMissing, match=extra) as caught:
        open_session(NET, provider=provider)
    assert f"{provider!r} is not in this install" in str(caught.value)
    assert "COHORT_PROVIDER=cpu" in str(caught.value)


@pytest.mark.parametrize("provider", ["cuda", "openvino"])
def test_a_provider_that_is_installed_but_does_not_start_is_an_error(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where the libraries of the GPU are missing: ONNX Runtime goes on without the provider.
    name = {"cuda": "CUDAExecutionProvider", "openvino": "OpenVINOExecutionProvider"}[provider]
    monkeypatch.setattr(ort, "get_available_providers", lambda: [name, "CPUExecutionProvider"])
    with (
        pytest.warns(UserWarning, match=name),
        pytest.raises(ProviderMissing, match="did not start"),
    ):
        open_session(NET, provider=provider)


def test_the_providers_are_those_of_the_setting() -> None:
    assert PROVIDERS == ("cpu", "cuda", "openvino")


def test_threads_are_set_for_opencv_and_for_faiss_in_every_thread_that_asks() -> None:
    before = cv2.getNumThreads(), faiss.omp_get_max_threads()
    seen: list[int] = []

    def work() -> None:
        configure_threads(3)
        seen.append(faiss.omp_get_max_threads())

    try:
        configure_threads(1)
        assert (cv2.getNumThreads(), faiss.omp_get_max_threads()) == (1, 1)
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        assert seen == [3]
        assert cv2.getNumThreads() == 3
        # The number of OpenMP is a thread's own: hence the rule that each worker asks.
        assert faiss.omp_get_max_threads() == 1
    finally:
        cv2.setNumThreads(before[0])
        faiss.omp_set_num_threads(before[1])


def test_a_file_that_is_no_net_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no net")
    with pytest.raises(NetInvalid, match=r"broken\.onnx"):
        open_session(broken)
