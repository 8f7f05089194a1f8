"""Detection quality by fixed protocols, on labelled data of your own copy.

    python -m tests.bench.quality [--data DIRECTORY] [--quick] [--parts tabular,ablation] [--page]

A run that was ended goes on where it was: results are kept in --out, those of aestream as long as its code is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from aestream.errors import AestreamError
from tests.bench.quality.cells import Scope
from tests.bench.quality.data import VARIABLE, Library
from tests.bench.quality.page import render
from tests.bench.quality.parts import METHODS, PARTS
from tests.bench.quality.peers import require
from tests.bench.quality.results import Results, product_hash
from tests.bench.quality.run import run
from tests.bench.quality.summary import document

ROOT = Path(__file__).parents[3]
PAGE, DOCUMENT = ROOT / "docs/detection-quality.md", ROOT / "docs/detection-quality.json"


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, print the tables, write the page if asked."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    console = Console()
    seeds = options.seeds[:1] if options.quick else options.seeds
    scope = Scope(seeds, frozenset(options.methods) if options.methods else None, options.quick)
    try:
        library = Library.at(options.data)
        cells = [cell for name in options.parts for cell in PARTS[name].plan(library, scope)]
        require({cell.method for cell in cells})
    except AestreamError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    results = Results(options.out, product_hash())
    try:
        failed = run(cells, library, results, jobs=options.jobs, console=console)
    except KeyboardInterrupt:
        console.print(f"ended; the same command goes on from what is in {options.out}", markup=False)
        return 130
    made = document(cells, results, command=_command(arguments))
    console.print(Markdown(render(made)))
    if options.page:
        if set(options.parts) < set(PARTS) and DOCUMENT.exists():  # the others stay as they were measured
            made = json.loads(DOCUMENT.read_text(encoding="utf-8")) | {
                name: made[name] for name in PARTS if name in made
            }
        DOCUMENT.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(render(made), encoding="utf-8")
    return 1 if any(not cell.of_peer for cell in failed) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get(VARIABLE), help=f"where the data are (or {VARIABLE})")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/detection-quality.jsonl", help="keeps the results")
    parser.add_argument("--parts", type=_names(PARTS), default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--methods", type=_names(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--seeds", type=_seeds, default=Scope().seeds, help="commas between; 0,1,2 by default")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2, help="processes of one thread each")
    parser.add_argument("--quick", action="store_true", help="the first seed, few peers, a part of the sets elsewhere")
    parser.add_argument("--page", action="store_true", help="write docs/detection-quality.md and its JSON: these parts")
    return parser


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return chosen

    return parse


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


def _command(arguments: list[str]) -> str:
    """The command as a reader would type it: without the places of one machine."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in {"--data", "--out", "--jobs"}:
            skip = True
        elif not argument.startswith(("--data=", "--out=", "--jobs=")):
            kept.append(argument)
    return shlex.join(["python", "-m", "tests.bench.quality", *kept])


if __name__ == "__main__":
    sys.exit(main())
