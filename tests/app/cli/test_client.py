"""The client where the service is away, busy, of another kind, or does not know the key."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.cli.client import Client, Refusal, find_key
from app.cli.output import Failure
from benchmarks.processes import free_port
from tests.app.cli.conftest import PICTURES, Running

Answer = tuple[int, object]
OBAMA = (PICTURES / "obama.jpg").read_bytes()


@contextmanager
def scripted(*script: Answer) -> Iterator[str]:
    """A server that gives these answers in turn, the last one for ever."""
    left = list(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def problem(code: str, **extra: object) -> dict[str, object]:
    return {"code": code, "detail": f"About {code}.", **extra}


def test_a_service_that_is_away_is_said_at_once() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", "key") as client,
        pytest.raises(Failure, match="No service answers at") as failure,
    ):
        client.check_reachable()
    assert "cohort serve" in failure.value.hint


def test_it_is_waited_for_only_so_often() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", "key", pauses_s=(0.01, 0.01)) as client,
        pytest.raises(Failure, match="No service answers at"),
    ):
        client.identify("obama.jpg", OBAMA)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "nonsense"])
def test_an_address_that_is_no_url_is_said(url: str) -> None:
    with pytest.raises(Failure, match="is not a URL"), Client(url, "key") as client:
        client.check_reachable()


def test_a_service_that_still_starts_is_said() -> None:
    with (
        scripted((503, problem("not_ready"))) as url,
        Client(url, "key") as client,
        pytest.raises(Failure, match="is not ready"),
    ):
        client.check_reachable()


def test_a_busy_service_is_asked_again() -> None:
    busy = (503, problem("overloaded"))
    with (
        scripted(busy, busy, (200, {"faces": []})) as url,
        Client(url, "key", pauses_s=(0.01, 0.01)) as client,
    ):
        assert client.identify("obama.jpg", OBAMA) == {"faces": []}


def test_one_that_stays_busy_is_given_up() -> None:
    with (
        scripted((503, problem("overloaded"))) as url,
        Client(url, "key", pauses_s=(0.01,)) as client,
        pytest.raises(Failure, match=r"About overloaded\.") as failure,
    ):
        client.identify("obama.jpg", OBAMA)
    assert not isinstance(failure.value, Refusal)


def test_an_error_of_the_service_is_no_refusal_of_the_pictures() -> None:
    with (
        scripted((500, problem("internal_error"))) as url,
        Client(url, "key") as client,
        pytest.raises(Failure, match=r"failed \(status 500\): About internal_error\.") as failure,
    ):
        client.enroll([("obama.jpg", OBAMA)])
    assert not isinstance(failure.value, Refusal)


def test_a_stopped_client_sends_nothing() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", "key") as client:
        client.stop()
        with pytest.raises(Failure, match="Stopped"):
            client.identify("obama.jpg", OBAMA)


@pytest.mark.parametrize(
    "answer",
    [(200, b"<html>"), (200, ["list"]), (404, {"detail": "Not Found"}), (500, b"oops")],
)
def test_another_kind_of_service_is_said(answer: Answer) -> None:
    with (
        scripted(answer) as url,
        Client(url, "key") as client,
        pytest.raises(Failure, match="is not Cohort"),
    ):
        client.identify("obama.jpg", OBAMA)


@pytest.mark.parametrize("code", ["missing_scope", "collection_not_found", "embedder_mismatch"])
def test_what_holds_for_every_call_is_no_refusal_of_this_one(code: str) -> None:
    with (
        scripted((409, problem(code))) as url,
        Client(url, "key") as client,
        pytest.raises(Failure, match=code) as failure,
    ):
        client.enroll([("obama.jpg", OBAMA)])
    assert not isinstance(failure.value, Refusal)


def test_a_wrong_key_is_said_without_the_key(running: Running) -> None:
    wrong = "cohort_00000000_" + 43 * "x"
    with (
        Client(running.url, wrong) as client,
        pytest.raises(Failure, match="does not accept this API key") as failure,
    ):
        client.identify("obama.jpg", OBAMA)
    assert wrong not in failure.value.sentence + failure.value.hint


def test_a_refusal_carries_the_code_and_the_whole_answer(running: Running) -> None:
    with pytest.raises(Refusal) as refusal:
        running.client.enroll([("notes.txt", b"no picture")])
    assert refusal.value.code == "no_face_enrolled"
    assert refusal.value.body["rejected"][0]["reason"] == "unsupported_format"


def test_the_key_is_the_given_one_or_that_of_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COHORT_DATA_DIR", str(tmp_path))
    assert find_key("given") == "given"
    with pytest.raises(Failure, match="There is no API key"):
        find_key("")
    (tmp_path / "admin.key").write_text("kept\n")
    assert find_key("") == "kept"
