import base64
import hashlib
import re

import pytest
from httpx import AsyncClient


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_pages_load_nothing_from_elsewhere(
    client: AsyncClient, page: str
) -> None:
    html = (await client.get(page)).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert loaded
    for address in loaded:
        assert address.startswith("/"), address
        assert (await client.get(address)).status_code == 200


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_run_their_own_scripts_and_no_others(
    client: AsyncClient, page: str
) -> None:
    answer = await client.get(page)
    policy = dict(
        each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; ")
    )
    inline = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in inline
    }
    assert set(policy["script-src"].split()) == {"'self'", *hashes}
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert not re.search(r"\son\w+=", answer.text)


async def test_the_page_that_others_sign_in_through_is_not_there(client: AsyncClient) -> None:
    assert (await client.get("/docs/oauth2-redirect")).status_code == 404
