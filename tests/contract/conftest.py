"""Each transport in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.transports import TRANSPORTS, Transport


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made = TRANSPORTS[request.param](request)
    yield made
    made.close()
