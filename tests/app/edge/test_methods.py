import pytest
from httpx import AsyncClient


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/collections", "GET, POST"),
        ("/collections/default", "DELETE, GET, PATCH"),
        ("/identify", "POST"),
        ("/healthz", "GET"),
    ],
)
async def test_allow_names_all_methods_of_a_path(
    client: AsyncClient, path: str, methods: str
) -> None:
    answer = await client.request("OPTIONS", path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == methods


async def test_what_is_no_write_has_no_idempotency(client: AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    for method, path, status in (("PUT", "/collections", 405), ("POST", "/nowhere", 404)):
        for _ in range(2):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == status
            assert "Idempotency-Replayed" not in answer.headers
