"""What a process of the service opens once and shares: by requests, by jobs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from app.bundles.files import BundleFiles
from app.bundles.service import Bundles
from app.collections.service import ensure_default_collection
from app.database import Database, opened_database
from app.encryption.service import master_key, open_vault
from app.feedback.sealing import Sealer
from app.feedback.service import open_sealer
from app.gallery.service import Galleries
from app.inference import Inference
from app.jobs.service import Jobs
from app.keys.service import KeyRing, ensure_admin_key
from app.redis import opened_redis
from app.settings import Settings
from models.calibration import Calibration
from models.identifier import QueryPath
from vault.vault import Vault


@dataclass(frozen=True)
class Services:
    """Everything that is opened at start and shared by all requests."""

    settings: Settings
    database: Database
    redis: Redis | None
    vault: Vault
    keys: KeyRing
    galleries: Galleries
    inference: Inference
    path: QueryPath
    prior: Calibration
    """Of the embedder; each gallery's own thresholds go with the gallery."""
    sealer: Sealer
    bundles: Bundles
    jobs: Jobs


@asynccontextmanager
async def opened_services(
    settings: Settings, open_path: Callable[[Settings], QueryPath]
) -> AsyncIterator[Services]:
    """Open everything, with all collections in memory; nothing is kept up to date yet.

    Raises:
        ManifestInvalid, CalibrationInvalid, ProviderMissing: see `QueryPath.open`.
        EmbeddedPostgresError: the embedded Postgres is not installed or does not start.
        MasterKeyInvalid: the encryption key is not the database's.
    """
    # Nothing is served yet, so what blocks may block.
    path = open_path(settings)
    embedder = path.embedder.manifest
    prior = Calibration.of(embedder)
    inference = Inference(
        workers=settings.inference_workers,
        queue_limit=settings.inference_queue_limit,
        threads=settings.inference_threads,
    )
    try:
        async with opened_database(settings) as database, opened_redis(settings) as redis:
            vault = await open_vault(database, master_key(settings))
            await ensure_default_collection(database, embedder=embedder)
            await ensure_admin_key(database, data_dir=settings.data_dir)
            bundle_files = BundleFiles(
                folder=settings.data_dir / "bundles",
                embedder=embedder,
                subnet_memory_bytes=settings.subnet_memory_bytes,
                threads=settings.inference_threads,
            )
            galleries = Galleries(database, embedder, prior, bundle_files.open)
            await galleries.refresh()
            bundles = Bundles(
                database=database,
                galleries=galleries,
                files=bundle_files,
                kept=settings.bundles_kept,
            )
            yield Services(
                settings=settings,
                database=database,
                redis=redis,
                vault=vault,
                keys=KeyRing(database, cache_s=settings.key_cache_s),
                galleries=galleries,
                inference=inference,
                path=path,
                prior=prior,
                sealer=await open_sealer(database),
                bundles=bundles,
                jobs=Jobs(
                    settings=settings, database=database, galleries=galleries, bundles=bundles
                ),
            )
    finally:
        inference.close()
