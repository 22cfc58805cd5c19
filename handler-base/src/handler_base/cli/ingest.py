"""`fleet ingest`: documents into the collection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from handler_base.cli.environment import read_settings, without_credentials
from handler_base.cli.exit_codes import ExitCode
from handler_base.cli.terminal import clean_line, fail, print_json, print_text, warn
from handler_base.clients import HttpPool, embeddings_client
from handler_base.config import RagSettings
from handler_base.errors import FleetError, InvalidRequestError, NotFoundError
from handler_base.rag import IngestOptions, Ingestor, IngestProgress, IngestReport, writable_store

__all__ = ["ingest"]


async def ingest(paths: Sequence[Path], collection: str, root: Path | None, *, as_json: bool) -> None:
    """Bring a collection up to date with files and folders, and report.

    Args:
        paths: Files and folders.
        collection: Name; empty: the settings'.
        root: What the identity of files is relative to; None: the current folder.
        as_json: Whether to print one JSON object in place of text.

    Raises:
        typer.Exit: A document, or all of it, failed.
    """
    settings = read_settings(RagSettings)
    name = collection or settings.collection_name
    try:
        with _progress(shown=not as_json) as advance:
            report = await _run(settings, paths, name, root, advance)
    except ModuleNotFoundError as error:
        fail(
            f"The package {error.name} is missing; install it with: pip install 'handler-base[ingest]'.", ExitCode.USAGE
        )
    except (NotFoundError, InvalidRequestError) as error:
        fail(error.message, ExitCode.USAGE)
    except FleetError as error:
        embeddings = without_credentials(settings.embeddings_url)
        where = f"EMBEDDINGS_URL={embeddings}, Milvus at {settings.milvus_host}:{settings.milvus_port}"
        fail(f"{error.message} Check {where}; `make run` starts both.", ExitCode.FLEET_ERROR)
    except ValueError as error:
        fail(f"EMBEDDINGS_URL is not valid: {error}.", ExitCode.USAGE)
    _show(report, name, as_json=as_json)


async def _run(
    settings: RagSettings,
    paths: Sequence[Path],
    collection: str,
    root: Path | None,
    advance: Callable[[IngestProgress], None],
) -> IngestReport:
    pool = HttpPool()
    store = writable_store(settings)
    embeddings = embeddings_client(settings, pool)
    await store.open()
    try:
        ingestor = Ingestor(store, embeddings, options=IngestOptions.from_settings(settings))
        return await ingestor.ingest(paths, collection, root=root, progress=advance)
    finally:
        await store.close()
        await pool.close()


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[IngestProgress], None]]:
    from rich.console import Console  # noqa: PLC0415 - JSON needs none of it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # The bar goes to the error stream, so that the report alone can be redirected.
    with Progress(
        *columns, console=Console(stderr=True), disable=not (shown and sys.stderr.isatty()), transient=True
    ) as bar:
        task = bar.add_task("Reading", total=None)

        def advance(progress: IngestProgress) -> None:
            bar.update(
                task,
                total=progress.total,
                completed=progress.done,
                description=clean_line(progress.source, 48),
            )

        yield advance


def _show(report: IngestReport, collection: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "collection": collection,
                "added": report.added,
                "unchanged": report.unchanged,
                "replaced": report.replaced,
                "failed": [{"source": failure.source, "reason": failure.reason} for failure in report.failures],
                "chunks_written": report.chunks_written,
                "chunks_deleted": report.chunks_deleted,
            }
        )
    else:
        print_text(
            f"{report.documents} documents in {clean_line(collection)}: {report.added} added, "
            f"{report.unchanged} unchanged, {report.replaced} replaced, {len(report.failures)} failed; "
            f"{report.chunks_written} chunks written, {report.chunks_deleted} deleted."
        )
    for failure in report.failures:
        warn(f"{failure.source}: {failure.reason}")
    if not report.documents:
        fail("There are no documents there; .txt, .md, .html and .pdf files are read.", ExitCode.USAGE)
    if report.failures:
        fail(f"{len(report.failures)} of {report.documents} documents failed.", ExitCode.FLEET_ERROR)
