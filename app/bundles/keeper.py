"""What is done of itself with the bundles: old ones and leftovers go, receipts of erasures are
completed, the cache is filled.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.bundles.service import Bundles
from app.repeating import Step, beside, repeat

LOOK_EVERY_S = 5.0
STORE_EVERY_S = 30.0
"""Between two looks for what is to leave the store, each of which is a request to it."""


@asynccontextmanager
async def keeping_bundles(bundles: Bundles) -> AsyncIterator[None]:
    """Look after the bundles while the block runs, in every process that opens bundles."""
    delete = Step(bundles.clear_away, failed="bundles_not_deleted", mended="bundles_deleted_again")
    here = Step(bundles.clear_here, failed="bundles_not_cleared", mended="bundles_cleared_again")
    store = Step(
        bundles.clear_store,
        failed="stored_bundles_not_cleared",
        mended="stored_bundles_cleared_again",
    )
    receipts = Step(
        bundles.complete_receipts, failed="receipts_not_completed", mended="receipts_completed"
    )
    share = Step(bundles.sharing.share, failed="bundles_not_shared", mended="bundles_shared_again")
    # Apart from each other: to fetch a bundle can take long, and what an erasure has condemned must
    # not wait for that; nor must it wait for a store that is away.
    async with beside(
        repeat(delete, every_s=LOOK_EVERY_S),
        repeat(here, every_s=LOOK_EVERY_S),
        repeat(store, every_s=STORE_EVERY_S),
        repeat(receipts, every_s=LOOK_EVERY_S),
        repeat(share, every_s=LOOK_EVERY_S),
    ):
        yield
