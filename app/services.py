"""What a process of the service opens once and shares: by requests, by jobs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from app.audit.log import AuditLog, opened_audit
from app.bundles.files import BundleFiles
from app.bundles.service import Bundles
from app.bundles.sharing import open_store
from app.collections.service import ensure_default_collection
from app.database import Database, opened_database
from app.edge.counting import Counts, opened_counts
from app.embedders.presence import connection_name
from app.embedders.running import Embedders
from app.encryption.service import opened_vault
from app.feedback.sealing import Sealer
from app.feedback.service import open_sealer
from app.gallery.notices import publishing
from app.gallery.service import Galleries
from app.inference import Inference
from app.jobs.queue import JobQueue
from app.jobs.service import Jobs
from app.keys.ring import KeyRing
from app.keys.service import ensure_admin_key
from app.keys.uses import opened_key_ring
from app.metrics.instruments import Metrics
from app.redis import opened_redis
from app.settings import Settings
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
    """Of the default embedder, with the detector that all share."""
    embedders: Embedders
    sealer: Sealer
    bundles: Bundles
    jobs: Jobs
    audit: AuditLog
    metrics: Metrics
    counts: Counts


@asynccontextmanager
async def opened_services(
    settings: Settings, open_path: Callable[[Settings], QueryPath]
) -> AsyncIterator[Services]:
    """Open everything, with all collections in memory; nothing is kept up to date yet.

    Raises:
        ManifestInvalid, CalibrationInvalid, ProviderMissing: see `QueryPath.open`.
        EmbeddedPostgresError: the embedded Postgres is not installed or does not start.
        StoreInvalid: nothing here knows the bundle store's URL.
        MasterKeyInvalid: the encryption key is not the database's.
    """
    # Nothing is served yet, so what blocks may block.
    embedders = Embedders.open(settings, open_path)
    default = embedders.default
    inference = Inference(
        workers=settings.inference_workers,
        queue_limit=settings.inference_queue_limit,
        threads=settings.inference_threads,
    )
    try:
        async with (
            opened_database(
                settings, name=connection_name(each.known.id for each in embedders)
            ) as database,
            opened_redis(settings) as redis,
            publishing(database, redis),
            opened_vault(database, settings) as vault,
            opened_audit(database, settings.data_dir / "audit") as audit,
            opened_key_ring(database, cache_s=settings.key_cache_s) as keys,
            opened_counts(redis) as counts,
        ):
            await ensure_default_collection(database, embedder=default.manifest)
            await ensure_admin_key(database, data_dir=settings.data_dir)
            bundle_files = BundleFiles(
                folder=settings.data_dir / "bundles",
                subnet_memory_bytes=settings.subnet_memory_bytes,
                threads=settings.inference_threads,
                store=await open_store(settings.bundle_store, database),
            )
            galleries = Galleries(
                database,
                [each.known for each in embedders],
                bundle_files.open,
                vault,
                patience_s=settings.min_revision_wait_s,
            )
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
                keys=keys,
                galleries=galleries,
                inference=inference,
                path=default.path,
                embedders=embedders,
                sealer=await open_sealer(database, vault),
                bundles=bundles,
                jobs=Jobs(
                    settings=settings,
                    database=database,
                    galleries=galleries,
                    bundles=bundles,
                    embedders=embedders,
                    queue=JobQueue.of(settings),
                ),
                audit=audit,
                metrics=Metrics(),
                counts=counts,
            )
    finally:
        inference.close()
