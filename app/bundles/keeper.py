"""What is done of itself with the bundles: old ones and leftovers go, the cache is filled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.bundles.service import Bundles
from app.repeating import Step, beside, repeat

LOOK_EVERY_S = 5.0


@asynccontextmanager
async def keeping_bundles(bundles: Bundles) -> AsyncIterator[None]:
    """Look after the bundles while the block runs, in every process that opens bundles."""
    clear = Step(
        bundles.clear_leftovers, failed="bundles_not_cleared", mended="bundles_cleared_again"
    )
    share = Step(bundles.sharing.share, failed="bundles_not_shared", mended="bundles_shared_again")
    delete = Step(bundles.clear_away, failed="bundles_not_deleted", mended="bundles_deleted_again")
    # Apart from each other: to fetch a bundle can take long, and what an erasure has condemned must
    # not wait for that; nor must it wait for a store that is away.
    async with beside(*(repeat(step, every_s=LOOK_EVERY_S) for step in (delete, clear, share))):
        yield
