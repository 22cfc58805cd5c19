from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from handler_base.clients import HttpPool
from handler_base.deadline import Deadline


@pytest.fixture
async def pool() -> AsyncIterator[HttpPool]:
    pool = HttpPool()
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def soon() -> Deadline:
    """A deadline no test should come near."""
    return Deadline.after(timedelta(seconds=10))
