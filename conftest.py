"""Fixtures for the tests of all packages."""

from __future__ import annotations

pytest_plugins = ["handler_base.testing.fixtures"]
