"""The service as the commands see it: HTTP, with its errors turned into sentences."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Any, Self

import httpx
import typer

from app.cli.configuration import load_settings
from app.cli.output import Failure

DEFAULT_URL = "http://127.0.0.1:8000"

UrlOption = Annotated[
    str, typer.Option("--url", envvar="COHORT_URL", help="Where the service listens.")
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key",
        envvar="COHORT_API_KEY",
        help="API key. Without one: the file `admin.key` in the data directory.",
        show_default=False,
    ),
]
CollectionOption = Annotated[
    str, typer.Option("--collection", help="The collection of subjects to work on.")
]

# A busy service says 503 and takes the same call a moment later. Together about a minute, which is
# also enough for a restart.
RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
# Not about this one call: the next would be refused as well.
HOPELESS_CODES = frozenset({"missing_scope", "collection_not_found", "embedder_mismatch"})


class Refusal(Failure):
    """The service refused one call; `code` is the stable word for why."""

    def __init__(self, code: str, detail: str, body: dict[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.body = body


class Client:
    """One service and one key. Safe to use from several threads."""

    def __init__(self, url: str, key: str, *, pauses_s: Sequence[float] = RETRY_PAUSES_S) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: where the service listens, without a path.
            key: API key.
            pauses_s: seconds to wait before each further try where the service is busy or away.
        """
        self.url = url.rstrip("/")
        self._pauses_s = tuple(pauses_s)
        self._stopped = threading.Event()
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {key}"},
                # A call with 20 large pictures on a small machine takes its time.
                timeout=httpx.Timeout(180.0, connect=5.0),
                # A proxy for the web outside has no way to this machine's own loopback.
                trust_env=httpx.URL(url).host not in ("127.0.0.1", "::1", "localhost"),
            )
        except httpx.InvalidURL as error:
            raise Failure(f"{url} is not a URL: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def stop(self) -> None:
        """Let the calls that are under way be the last ones, in all threads."""
        self._stopped.set()

    def check_reachable(self) -> None:
        """Ask once whether the service is there.

        Raises:
            Failure: nothing answers, or what answers is not ready.
        """
        try:
            response = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code != httpx.codes.OK:
            raise Failure(
                f"The service at {self.url} is not ready (it answered {response.status_code}).",
                hint="It may still be starting: try again in a moment.",
            )

    def enroll(self, pictures: Sequence[tuple[str, bytes]], **fields: str) -> dict[str, Any]:
        """Enrol pictures of one person.

        Args:
            pictures: file name and content, 1 to 20 of them.
            fields: the form's other fields.

        Returns:
            The service's answer, with `subject`, `accepted` and `rejected`.

        Raises:
            Refusal: nothing was enrolled.
            Failure: the service can't be used at all.
        """
        parts = [("images", picture) for picture in pictures]
        return self._call("POST", "/enroll", files=parts, data=fields)

    def identify(self, name: str, content: bytes, **fields: str) -> dict[str, Any]:
        """Identify the faces of one picture.

        Args:
            name: file name.
            content: the file.
            fields: the form's other fields.

        Returns:
            The service's answer, with `faces` and `threshold`.

        Raises:
            Refusal: the picture was not accepted.
            Failure: the service can't be used at all.
        """
        return self._call("POST", "/identify", files={"image": (name, content)}, data=fields)

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        pauses_s = iter(self._pauses_s)
        while not self._stopped.is_set():
            pause_s = next(pauses_s, None)
            try:
                response = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                if pause_s is None:
                    raise self._unreachable(error) from error
            else:
                if pause_s is None or response.status_code not in RETRIED_STATUSES:
                    return self._read(response)
            self._stopped.wait(pause_s)
        raise Failure("Stopped.")

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or (response.is_error and "code" not in body):
            raise Failure(
                f"What answers at {self.url} is not Cohort (status {response.status_code}).",
                hint="Name the service with --url or COHORT_URL.",
            )
        if response.is_success:
            return body
        code, detail = str(body["code"]), str(body.get("detail", ""))
        if code in ("missing_key", "invalid_key"):
            raise Failure(
                f"The service at {self.url} does not accept this API key.",
                hint="Name another with --key or COHORT_API_KEY; `cohort keys create` makes one.",
            )
        if response.is_server_error and response.status_code not in RETRIED_STATUSES:
            # It says nothing about the pictures: the same call may well succeed later.
            raise Failure(
                f"The service at {self.url} failed (status {response.status_code}): {detail}"
            )
        if code in HOPELESS_CODES or response.status_code in RETRIED_STATUSES:
            raise Failure(detail)
        raise Refusal(code, detail, body)

    def _unreachable(self, error: httpx.TransportError) -> Failure:
        if isinstance(error, httpx.UnsupportedProtocol):
            return Failure(f"{self.url} is not a URL such as {DEFAULT_URL}.")
        return Failure(
            f"No service answers at {self.url}.",
            hint="Start one with `cohort serve`, or name another with --url or COHORT_URL.",
        )


def find_key(key: str) -> str:
    """Take the key that was given, or else the one that the service left in its data directory.

    Raises:
        Failure: there is neither.
    """
    if key:
        return key
    path = load_settings().data_dir / "admin.key"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Failure(
            f"There is no API key: none was given, and {path} can't be read ({error.strerror}).",
            hint="Give one with --key or COHORT_API_KEY, or set COHORT_DATA_DIR to the service's.",
        ) from error
