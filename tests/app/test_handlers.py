from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import BaseModel


async def test_wrong_fields_are_named_without_their_values(client: AsyncClient) -> None:
    answer = await client.post("/identify", data={"limit": "Barack Obama", "threshold": "7"})

    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "invalid_request")
    assert {(each["in"], each["field"]) for each in body["errors"]} == {
        ("body", "image"),
        ("body", "limit"),
        ("body", "threshold"),
    }
    assert body["detail"] == "image: Field required."
    assert "Obama" not in answer.text


async def test_at_most_twenty_wrong_fields_are_listed(app: FastAPI, client: AsyncClient) -> None:
    class Many(BaseModel):
        numbers: list[int]

    @app.post("/many")
    async def many(_body: Many) -> None: ...

    answer = await client.post("/many", json={"numbers": ["x"] * 1000})
    assert len(answer.json()["errors"]) == 20


async def test_an_unknown_path_and_method_are_problems_too(client: AsyncClient) -> None:
    unknown = await client.get("/nowhere")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    method = await client.delete("/identify")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert method.headers["Allow"] == "POST"
