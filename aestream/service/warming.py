"""Whether most records are judged before their entity is known, so that hardly any can be flagged."""

from __future__ import annotations

from aestream.types import Codes, Status

LOOKED_AT = 10_000  # records
MOSTLY = 0.9


class Warming:
    """Counts the records whose entity is not known well enough yet.

    It speaks up once when they are more than nine in ten of the last records, and again only after that has improved.
    """

    def __init__(self) -> None:
        self._seen = self._warming = 0
        self._told = False

    def see(self, status: Codes) -> float | None:
        """Note how far some records (n,) could be judged; return the share that is warming if it is time to warn."""
        self._seen += len(status)
        self._warming += int((status == Status.WARMING).sum())
        if self._seen < LOOKED_AT:
            return None
        share, before = self._warming / self._seen, self._told
        self._told = share > MOSTLY
        self._seen = self._warming = 0
        return share if self._told and not before else None
