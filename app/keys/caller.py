"""Who makes a request, and what the key is good for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from app.problems import MissingScope

Scope = Literal["identify", "enroll", "metrics", "admin"]
"""identify: search and read. enroll: change subjects. metrics: read the metrics. admin: all."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    key_id: str
    scopes: frozenset[str]
    collections: frozenset[str] | None = None
    """Names of those that the key is good for; None: all, also those that are yet to be made."""
    rate_limit: str | None = None
    """Such as `600/minute`; None: the service's."""

    def require(self, scope: Scope) -> None:
        """Raise `MissingScope` unless the caller may do what `scope` stands for."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise MissingScope(f"This needs a key with the scope `{scope}`.", required_scope=scope)

    def require_all_collections(self) -> None:
        """Raise `MissingScope` if the key is good for some collections only."""
        if self.collections is not None:
            raise MissingScope("This needs a key that is good for all collections.")


_seen: ContextVar[frozenset[str] | None] = ContextVar("seen", default=None)


@contextmanager
def seeing(collections: frozenset[str] | None) -> Iterator[None]:
    """Have no other collections for the block, nor for what it starts; None: all are there.

    Whoever looks for a collection, or for what is in one, on behalf of a caller need not be told
    who that is: `Galleries.find` and the like ask `may_see`, and find nothing of others. So does
    whoever does a part of the work in a task of its own.
    """
    token = _seen.set(collections)
    try:
        yield
    finally:
        _seen.reset(token)


def may_see(collection: str) -> bool:
    """Tell whether whoever is being answered may know of the collection of this name."""
    seen = _seen.get()
    return seen is None or collection in seen


def seen_collections() -> frozenset[str] | None:
    """Names of the collections that whoever is being answered may know of; None: all."""
    return _seen.get()
