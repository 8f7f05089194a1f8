"""What the tests of a service's parts share."""

from __future__ import annotations

import pytest

from tests.unit.service.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()
