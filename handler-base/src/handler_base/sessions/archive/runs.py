"""Runs of pipelines in the archive, one row each."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, RowMapping, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from handler_base.errors import InvalidRequestError
from handler_base.messages.domain import RunState
from handler_base.messages.subjects import check_token
from handler_base.sessions.archive.rows import hash_of
from handler_base.sessions.archive.schema import forgotten, pipeline_runs
from handler_base.sessions.archive.texts import clean
from handler_base.sessions.archive.writing import FORGETTING, insert_or_update

__all__ = ["Parameters", "PipelineRun", "forget_in_runs", "read_parameters", "read_runs", "write_run"]

Parameters = dict[str, str | int | float | bool]

_RANK: Final = {RunState.PENDING: 0, RunState.RUNNING: 1, RunState.SUCCEEDED: 2, RunState.FAILED: 2}
"""How far on its way a run is: it goes to a higher one only."""

_NO_PARAMETERS: Final = "{}"
_decoder: Final = msgspec.json.Decoder(Parameters)


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as far as one event tells of it or all that came.

    Attributes:
        request_id: Of the trigger: what the run is known by.
        status: Where it stands.
        submitted_at: When it was triggered, or the first that is known of it.
        run_id: As its engine names it.
        pipeline: Name of the pipeline.
        engine: Where it runs.
        user_id: Who triggered it; empty: nobody is told.
        parameters: What it was triggered with.
        started_at: When its first step began; None: none did, as far as is known.
        finished_at: When it ended.
        error: Why it failed; safe to show.
    """

    request_id: str
    status: RunState
    submitted_at: datetime
    run_id: str = ""
    pipeline: str = ""
    engine: str = ""
    user_id: str = ""
    parameters: Parameters = msgspec.field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str = ""

    def __post_init__(self) -> None:
        """Check the invariants.

        Raises:
            InvalidRequestError: An id is none, or a time has no time zone.
        """
        check_token("request_id", self.request_id)
        if self.user_id:
            check_token("user_id", self.user_id)
        for moment in (self.submitted_at, self.started_at, self.finished_at):
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequestError("A time of a run needs a time zone.")


def read_parameters(text: str) -> Parameters:
    """Return parameters that were kept as JSON; none where they cannot be read."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return {}


async def write_run(connection: AsyncConnection, *, run: PipelineRun) -> None:
    """Keep what is told of a run: what was not known, and a status that is further on.

    The order in which things are told makes no difference, nor how often.
    """
    row = _row(run)
    if run.user_id and await _is_forgotten(connection, run):
        row |= {"user_id": "", "parameters": _NO_PARAMETERS}
    insert = insert_or_update(connection, pipeline_runs)
    new, old = insert.excluded, pipeline_runs.c
    further = _rank(new.status) > _rank(old.status)
    changes = {
        **{name: case((old[name] == "", new[name]), else_=old[name]) for name in ("run_id", "pipeline", "engine")},
        **{name: func.coalesce(old[name], new[name]) for name in ("user_id", "parameters")},
        **{name: case((further, new[name]), else_=old[name]) for name in ("status", "finished_at", "error")},
        "submitted_at": case((new.submitted_at < old.submitted_at, new.submitted_at), else_=old.submitted_at),
        "started_at": case(
            (or_(old.started_at.is_(None), new.started_at < old.started_at), new.started_at), else_=old.started_at
        ),
    }
    await connection.execute(insert.on_conflict_do_update(index_elements=[old.request_id], set_=changes), row)


async def read_runs(
    connection: AsyncConnection, *, request_id: str, pipeline: str, status: str, limit: int
) -> list[PipelineRun]:
    """Return the newest runs, newest first: one, those of a pipeline, those that stand somewhere, or all."""
    query = select(pipeline_runs).order_by(pipeline_runs.c.submitted_at.desc(), pipeline_runs.c.request_id)
    for name, wanted in (("request_id", request_id), ("pipeline", pipeline), ("status", status)):
        if wanted:
            query = query.where(pipeline_runs.c[name] == clean(wanted))
    return [_run(row) for row in (await connection.execute(query.limit(limit))).mappings()]


async def forget_in_runs(connection: AsyncConnection, *, user_id: str, at: datetime) -> None:
    """Take out of the runs that a user triggered up to a moment who it was, and with what: the runs stay."""
    theirs = pipeline_runs.c.user_id == user_id, pipeline_runs.c.submitted_at <= at
    await connection.execute(update(pipeline_runs).where(*theirs).values(user_id="", parameters=_NO_PARAMETERS))


async def _is_forgotten(connection: AsyncConnection, run: PipelineRun) -> bool:
    """Whether a run is from before its user was forgotten; on a server nobody is, until the transaction ends."""
    if connection.dialect.name != "sqlite":
        await connection.execute(select(func.pg_advisory_xact_lock_shared(FORGETTING)))
    known = select(forgotten.c.forgotten_at).where(forgotten.c.user_hash == hash_of(run.user_id))
    moment = await connection.scalar(known)
    return moment is not None and run.submitted_at <= moment


def _rank(status: ColumnElement[str]) -> ColumnElement[int]:
    return case({state.value: rank for state, rank in _RANK.items()}, value=status)


def _row(run: PipelineRun) -> dict[str, Any]:
    return {
        "request_id": run.request_id,
        "run_id": clean(run.run_id),
        "pipeline": clean(run.pipeline),
        "engine": clean(run.engine),
        "user_id": run.user_id or None,
        "parameters": msgspec.json.encode(run.parameters).decode() if run.parameters else None,
        "status": run.status.value,
        "submitted_at": run.submitted_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": clean(run.error),
    }


def _run(row: RowMapping) -> PipelineRun:
    told = {
        "status": RunState(row["status"]),
        "user_id": row["user_id"] or "",
        "parameters": read_parameters(row["parameters"] or _NO_PARAMETERS),
    }
    return PipelineRun(**{**row, **told})
