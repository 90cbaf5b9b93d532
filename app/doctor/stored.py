"""What the database holds, against what is here: keys, embedders, bundles, audit, jobs."""

from collections.abc import Iterator
from typing import NamedTuple

from app.audit.spool import Spool
from app.bundles.files import BundleFiles
from app.bundles.sharing import DEPLOYMENT
from app.bundles.store import BundleStore, StoreInvalid
from app.doctor.database import Connection
from app.doctor.findings import Finding, failed, ok, warning
from app.doctor.nets import manifests
from app.encryption.service import master_key
from app.settings import Settings
from models.bundle_format import BundleInvalid
from models.trained import Trained
from models.zoo import EmbedderId
from vault.master import MasterKeyInvalid, unwrap_all


def look_at_encryption(settings: Settings, connection: Connection) -> Iterator[Finding]:
    """Does the master key open the data keys?"""
    rows = connection.execute("SELECT id, wrapped FROM data_keys").fetchall()
    if not rows:
        yield ok("encryption key", "nothing is encrypted yet; the first start makes the keys")
        return
    try:
        unwrap_all(master_key(settings), ((int(str(key)), bytes(kept)) for key, kept in rows))  # type: ignore[call-overload]
    except MasterKeyInvalid as error:
        yield failed(
            "encryption key",
            str(error),
            "COHORT_ENCRYPTION_KEY_FILE or COHORT_ENCRYPTION_KEY must give the key that the other "
            "services on this database have. Without it, nothing stored can be read.",
        )
    else:
        yield ok("encryption key", f"it opens the {len(rows)} data keys of the database")


def look_at_collections(settings: Settings, connection: Connection) -> Iterator[Finding]:
    """Does the embedder of each collection run here?"""
    running = {manifest.id for manifest in manifests(settings)}
    rows = connection.execute("SELECT name, embedder_name, embedder_sha256 FROM collections")
    count = 0
    for name, embedder, sha256 in rows.fetchall():
        count += 1
        if EmbedderId(str(embedder), str(sha256)) not in running:
            yield failed(
                "collections",
                f"{name} was made with {embedder} ({str(sha256)[:12]}), which does not run here",
                "Name its manifest in COHORT_EMBEDDER or COHORT_FURTHER_EMBEDDERS, or its calls "
                "are 409 embedder_mismatch.",
            )
    yield ok("collections", f"{count} are stored")


class _Active(NamedTuple):
    bundle_id: str
    collection: str
    embedder: EmbedderId


def look_at_bundles(settings: Settings, connection: Connection) -> Iterator[Finding]:
    """Can the active bundles be opened, and the store be reached?"""
    rows = connection.execute(
        "SELECT bundles.id, collections.name, embedder_name, embedder_sha256"
        " FROM bundles JOIN collections ON collections.id = collection_id WHERE active"
    ).fetchall()
    active = [
        _Active(str(bundle), str(collection), EmbedderId(str(name), str(sha256)))
        for bundle, collection, name, sha256 in rows
    ]
    in_store: set[str] | None = None
    if settings.bundle_store is not None:
        try:
            in_store = _store(settings, connection).names()
        except (StoreInvalid, OSError) as error:
            yield failed(
                "bundle store",
                str(error),
                "Check COHORT_BUNDLE_STORE, and the credentials that fsspec finds for it.",
            )
        else:
            yield ok("bundle store", f"can be reached; it holds {len(in_store)} bundles")
    files = BundleFiles(
        folder=settings.data_dir / "bundles",
        subnet_memory_bytes=settings.subnet_memory_bytes,
        threads=settings.inference_threads,
    )
    for each in active:
        yield _look_at_bundle(each, files, in_store or set())


def _store(settings: Settings, connection: Connection) -> BundleStore:
    assert settings.bundle_store is not None  # noqa: S101  (whoever calls has looked)
    row = connection.execute("SELECT value FROM secrets WHERE name = %s", (DEPLOYMENT,)).fetchone()
    # Nothing was put anywhere yet if the database does not name a folder.
    deployment = "none" if row is None else bytes(row[0]).hex()  # type: ignore[call-overload]
    return BundleStore.open(settings.bundle_store.get_secret_value(), deployment)


def _look_at_bundle(active: _Active, files: BundleFiles, in_store: set[str]) -> Finding:
    text = f"{active.bundle_id[:12]} of {active.collection}"
    try:
        Trained.open(
            files.bundle(active.bundle_id),
            embedder=active.embedder,
            memory_limit_bytes=files.subnet_memory_bytes,
        )
    except (BundleInvalid, OSError) as error:
        if active.bundle_id in in_store:
            return ok("bundles", f"{text} is in the store, from where the service fetches it")
        return failed(
            "bundles",
            f"{text} can't be opened: {error}",
            "Activate a former bundle, restore the folder from a backup, or retrain. Until then "
            "the collection is searched without it.",
        )
    return ok("bundles", f"{text} can be opened, each file is as its manifest says")


def look_at_audit(settings: Settings, connection: Connection) -> Iterator[Finding]:
    """Does the log only grow, and does anything wait for it?"""
    guarded = connection.execute(
        "SELECT FROM pg_trigger WHERE tgrelid = 'audit'::regclass AND tgenabled <> 'D'"
        " AND tgname = 'audit_only_grows'"
    ).fetchone()
    if guarded is None:
        yield failed(
            "audit",
            "entries can be changed: the table's trigger is gone or switched off",
            "ALTER TABLE audit ENABLE TRIGGER audit_only_grows; and find out who did that.",
        )
    else:
        yield ok("audit", "the table refuses changes")
    waiting = Spool(settings.data_dir / "audit").size_bytes()
    if waiting:
        yield warning(
            "audit",
            f"{waiting:,} bytes of entries wait on the disk for the database",
            "A running service brings them home within seconds; if none does, start one here.",
        )


def look_at_jobs(connection: Connection) -> Iterator[Finding]:
    """Does a job wait that nobody begins?"""
    row = connection.execute(
        "SELECT count(*) FROM jobs WHERE state = 'queued'"
        " AND created_at < now() - interval '10 minutes'"
    ).fetchone()
    if row is not None and row[0]:
        yield warning(
            "jobs",
            f"{row[0]} have waited for more than ten minutes",
            "GET /admin/jobs says for what; with Redis, `cohort worker` must run.",
        )
