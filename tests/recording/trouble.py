"""What the faults set loose: a proxy that delays and cuts, neighbours that take processor and disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.recording.load import Shared

# Knobs of the proxy: ms that each chunk is held back; seconds from one cut of all connections to the next (0: none).
LATENCY, CUT = range(2)
CHUNK_BYTES = 65536
BURN_PERIOD_SECONDS = 0.05
FILE_BLOCKS = 8


def proxy(listen: int, target: int, knobs: Shared) -> None:
    """Pass bytes between port `listen` and the broker's port `target` as `knobs` say, for ever."""
    asyncio.run(_proxy(listen, target, knobs))


async def _proxy(listen: int, target: int, knobs: Shared) -> None:
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while chunk := await reader.read(CHUNK_BYTES):
                if knobs[LATENCY]:
                    await asyncio.sleep(knobs[LATENCY] / 1000.0)
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, onward_writer}
        writers.update(pair)
        try:
            await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))
        finally:
            writers.difference_update(pair)

    server = await asyncio.start_server(serve, "127.0.0.1", listen)
    async with server:
        while True:
            await asyncio.sleep(knobs[CUT] or 0.1)
            if knobs[CUT]:
                for writer in list(writers):
                    writer.transport.abort()  # a cut, not an orderly end: nothing more is written


def burn(share: float) -> None:
    """Use the processor for `share` of the time, for ever."""
    while True:
        until = time.monotonic() + BURN_PERIOD_SECONDS * share
        while time.monotonic() < until:
            pass
        if share < 1.0:
            time.sleep(BURN_PERIOD_SECONDS * (1.0 - share))


def thrash(folder: str, block: int, pause: float) -> None:
    """Write blocks of `block` bytes in `folder`, each forced to disk, `pause` seconds between, for ever."""
    path = Path(folder) / f"thrash-{os.getpid()}"
    data = os.urandom(block)
    while True:
        with path.open("wb", buffering=0) as file:
            for _ in range(FILE_BLOCKS):
                file.write(data)
                os.fsync(file.fileno())
                time.sleep(pause)
