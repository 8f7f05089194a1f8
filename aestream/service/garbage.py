"""When Python looks for cycles of garbage: seldom, and not through what stays.

Every message that is sent makes a few objects that live until it is acknowledged. By its defaults the collector would
go through them, and through all that torch has loaded, every few hundred messages: a third of a worker's processor time
(`make bench`). Almost nothing here is a cycle; what is one is found all the same, a little later.
"""

from __future__ import annotations

import gc

# New objects, less those that went, before the young are looked at; young looks before the middle-aged; and so on. A
# batch of 5,000 records in flight is about 60,000 objects.
_THRESHOLDS = (200_000, 20, 100)


def settle() -> None:
    """Clear away what the former model left behind, and take everything alive for something that stays.

    Takes about a third of a second with torch loaded: call it between two batches, when a model has come into use.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def release() -> None:
    """Give everything back to the collector, so that libraries can clear away after themselves at the end."""
    gc.unfreeze()
