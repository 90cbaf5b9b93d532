import pytest

from app.edge.address import client_address, network_of


def scope(*forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": ("192.0.2.1", 5), "headers": headers}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        pytest.param(0, ["203.0.113.9"], "192.0.2.1", id="none-is-trusted"),
        pytest.param(1, [], "192.0.2.1", id="came-past-the-proxy"),
        pytest.param(1, ["203.0.113.9"], "203.0.113.9", id="one"),
        pytest.param(1, ["1.1.1.1, 203.0.113.9"], "203.0.113.9", id="made-up-before"),
        pytest.param(1, ["1.1.1.1", "203.0.113.9"], "203.0.113.9", id="two-headers"),
        pytest.param(2, ["1.1.1.1, 203.0.113.9, 10.0.0.1"], "203.0.113.9", id="two"),
        pytest.param(2, ["203.0.113.9"], "192.0.2.1", id="too-few"),
        pytest.param(1, ["2001:DB8::1"], "2001:db8::1", id="v6"),
        pytest.param(1, ["unknown"], "192.0.2.1", id="no-address"),
        pytest.param(1, ["1.1.1.1,"], "192.0.2.1", id="empty"),
        pytest.param(1, ["<script>"], "192.0.2.1", id="nonsense"),
    ],
)
def test_an_address_is_the_last_that_a_trusted_one_has_added(
    proxies: int, forwarded: list[str], address: str
) -> None:
    assert client_address(scope(*forwarded), proxies) == address


def test_a_connection_may_have_no_address() -> None:
    assert client_address({"type": "http", "client": None, "headers": []}, 0) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_caller_has_a_whole_network(address: str, network: str) -> None:
    assert network_of(address) == network
