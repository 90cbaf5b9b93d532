"""Routes of the bundles."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse

from app.bundles import shown
from app.bundles.schemas import BundleList, BundleWithManifest
from app.deps import Admin, ServicesDep
from app.problems import (
    BundleActive,
    BundleDamaged,
    BundleNotFound,
    BundleUnavailable,
    CollectionNotFound,
    EmbedderMismatch,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    problems,
)

router = APIRouter(
    prefix="/admin/bundles",
    tags=["training"],
    responses=problems(MissingKey, InvalidKey, MissingScope, InvalidRequest),
)

BundleId = Annotated[
    str, Path(pattern="^[0-9a-f]{64}$", description="The bundle's id, as answers name it.")
]

REPORT_HEADERS = {
    # The page has its styles and pictures within itself, and needs nothing else of anybody.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@router.get("", summary="List bundles", responses=problems(CollectionNotFound))
async def list_bundles(
    _caller: Admin,
    services: ServicesDep,
    collection: Annotated[str | None, Query(description="Only this collection's.")] = None,
) -> BundleList:
    """List the published bundles, the newest first. Scope `admin`."""
    return await shown.list_bundles(
        collection=collection, database=services.database, galleries=services.galleries
    )


@router.get("/{bundle_id}", summary="Show a bundle", responses=problems(BundleNotFound))
async def get_bundle(
    _caller: Admin, services: ServicesDep, bundle_id: BundleId
) -> BundleWithManifest:
    """Show a bundle: its figures, its manifest, and whom it still has traces of. Scope `admin`."""
    return await shown.get_bundle(
        bundle_id=bundle_id, database=services.database, files=services.bundles.files
    )


@router.get(
    "/{bundle_id}/report",
    summary="Read a bundle's report",
    response_class=HTMLResponse,
    responses=problems(BundleNotFound, BundleDamaged),
)
async def get_report(_caller: Admin, services: ServicesDep, bundle_id: BundleId) -> HTMLResponse:
    """Give the report of the bundle's training, a page that needs no other file. Scope `admin`."""
    report = await shown.read_report(
        bundle_id=bundle_id, database=services.database, files=services.bundles.files
    )
    return HTMLResponse(report, headers=REPORT_HEADERS)


@router.post(
    "/{bundle_id}/activate",
    summary="Activate a bundle",
    responses=problems(BundleNotFound, BundleDamaged, BundleUnavailable, EmbedderMismatch),
)
async def activate_bundle(
    _caller: Admin, services: ServicesDep, bundle_id: BundleId
) -> BundleWithManifest:
    """Search the bundle's collection with it; also the way back to an earlier one. Scope `admin`.

    The bundle is verified, warmed and tried out first. Then it is swapped in at once: requests
    under way finish on the one that they took. Whoever was enrolled, changed or deleted since it
    was trained is found, or not found, as before. Former bundles that have traces of a deleted
    subject are deleted soon after.
    """
    await services.bundles.activate(bundle_id)
    return await shown.get_bundle(
        bundle_id=bundle_id, database=services.database, files=services.bundles.files
    )


@router.delete(
    "/{bundle_id}",
    status_code=204,
    summary="Delete a bundle",
    responses=problems(BundleNotFound, BundleActive),
)
async def delete_bundle(_caller: Admin, services: ServicesDep, bundle_id: BundleId) -> None:
    """Delete a bundle that is not active, with its report. Scope `admin`.

    One that was active until a moment ago is deleted when requests can no longer need it, after
    a few seconds at most. While the bundle store is away, it is gone for everybody, and its files
    leave the store when that is back; receipts of erasures stay open until then.
    """
    await services.bundles.delete(bundle_id)
