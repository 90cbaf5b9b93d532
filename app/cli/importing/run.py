"""Several uploads at the same time, with a bar that shows how far they are."""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.cli.importing.journal import Entry, FileState, Journal
from app.cli.importing.sources import Source, Subject
from app.cli.importing.upload import Target, upload
from app.cli.output import notes


def run(target: Target, source: Source, journal: Journal, *, parallel: int) -> int:
    """Send what the journal does not have yet, a subject at a time in each of `parallel` threads.

    A subject's own calls follow one another: the first creates it, the others add to it.

    Args:
        target: the service and the collection.
        source: what is to be imported.
        journal: what has been dealt with; grows.
        parallel: uploads at the same time.

    Returns:
        The number of pictures that were sent.

    Raises:
        Failure: the service can't be used.
        KeyboardInterrupt: Ctrl-C; the calls under way are finished and recorded.
    """
    sent = 0
    with _progress() as progress:
        bar = progress.add_task("importing", total=source.file_count)

        def record(entries: Sequence[Entry]) -> None:
            journal.record(entries)
            progress.advance(bar, len(entries))

        pending: set[Future[None]] = set()
        with ThreadPoolExecutor(parallel, thread_name_prefix="upload") as pool:
            try:
                for subject in source.subjects:
                    files = _left(subject, source, journal, target.fields)
                    progress.advance(bar, len(subject.files) - len(files))
                    if not files:
                        continue
                    if len(pending) >= 2 * parallel:
                        done, pending = wait(pending, return_when=FIRST_COMPLETED)
                        for future in done:
                            future.result()
                    sent += len(files)
                    pending.add(
                        pool.submit(upload, target, subject, files, root=source.root, record=record)
                    )
                for future in pending:
                    future.result()
            except BaseException:
                # The calls that are under way are finished and recorded; no other begins.
                target.client.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return sent


def _left(subject: Subject, source: Source, journal: Journal, fields: dict[str, str]) -> list[str]:
    """The files that the journal does not have as they are now, or as rejected otherwise."""
    return [
        file
        for file in subject.files
        if not journal.settles(file, FileState.of(source.root / file), fields)
    ]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pictures"),
        TimeRemainingColumn(),
        console=notes,
    )
