"""What is done of itself with the files of the bundles: leftovers go, the cache is filled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.bundles.service import Bundles
from app.repeating import Step, beside, repeat

LOOK_EVERY_S = 5.0


@asynccontextmanager
async def keeping_bundles(bundles: Bundles) -> AsyncIterator[None]:
    """Look after the files while the block runs, in every process that opens bundles."""
    clear = Step(
        bundles.clear_leftovers, failed="bundles_not_cleared", mended="bundles_cleared_again"
    )
    share = Step(bundles.sharing.share, failed="bundles_not_shared", mended="bundles_shared_again")
    # Apart from each other: to fetch a bundle can take long, and what an erasure has condemned must
    # not wait for that.
    async with beside(repeat(clear, every_s=LOOK_EVERY_S), repeat(share, every_s=LOOK_EVERY_S)):
        yield
