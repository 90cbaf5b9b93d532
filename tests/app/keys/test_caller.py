import asyncio

import pytest

from app.keys.caller import Caller, Scope, may_see, seeing, seen_collections
from app.problems import MissingScope


@pytest.mark.parametrize(
    ("held", "needed", "may"),
    [
        ("identify", "identify", True),
        ("identify", "enroll", False),
        ("enroll", "identify", False),
        ("enroll", "admin", False),
        ("admin", "identify", True),
        ("admin", "enroll", True),
        ("admin", "metrics", True),
        ("metrics", "identify", False),
        ("identify", "metrics", False),
    ],
)
def test_what_a_scope_allows(held: str, needed: Scope, may: bool) -> None:
    caller = Caller("1", frozenset({held}))
    if may:
        caller.require(needed)
        return
    with pytest.raises(MissingScope) as caught:
        caller.require(needed)
    assert caught.value.extra == {"required_scope": needed}


def test_what_concerns_all_collections_needs_a_key_for_all() -> None:
    Caller("1", frozenset({"identify"})).require_all_collections()
    with pytest.raises(MissingScope):
        Caller("1", frozenset({"admin"}), frozenset({"a"})).require_all_collections()


async def test_who_sees_some_collections_sees_no_others_nor_do_its_tasks() -> None:
    async def seen() -> tuple[bool, bool]:
        return may_see("a"), may_see("b")

    with seeing(frozenset({"a"})):
        assert await seen() == (True, False)
        assert await asyncio.create_task(seen()) == (True, False)
        assert seen_collections() == frozenset({"a"})
        with seeing(None):
            assert await seen() == (True, True)
        assert await seen() == (True, False)
    assert await seen() == (True, True)
    assert seen_collections() is None
