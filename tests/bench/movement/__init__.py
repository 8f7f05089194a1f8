"""Wrong verdicts on how numeric fields move: `python -m tests.bench.movement`."""
