"""The commands: parse, call app, print. Exit codes: 0 success, 1 runtime failure, 2 wrong usage or configuration."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aestream
from aestream import arguments
from aestream.errors import AestreamError, ConfigurationError, ModelError
from aestream.service import log
from aestream.settings import reference, settings

Handler = Callable[[argparse.Namespace], int]

# options that stand for a setting
_SHORT = {
    "latent_size": "model.latent_size",
    "noise": "model.noise",
    "key": "features.key",
    "time": "features.time",
    "encoding": "files.encoding",
}
_MODEL_ACTIONS = ("list", "show", "promote", "rollback", "export")
_SERVICES = frozenset({"worker", "trainer"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code. Errors that a user can fix are one line on standard error."""
    options = build_parser().parse_args(arguments)
    handler: Handler = options.handler
    if options.command in _SERVICES:
        # A reload must not end a service that is still loading: the signal is held back until `Stop.listen`.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        with reference.naming_variables():
            return handler(options)
    except AestreamError as error:
        print(f"aestream {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever reads our output has stopped reading: what is still buffered has no reader
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="aestream",
        description="Streaming anomaly detection for Kafka with autoencoders.",
        epilog="Settings come from AESTREAM_* variables, .env, secrets and --config; `aestream config` shows them.",
    )
    parser.add_argument("--version", action="version", version=f"aestream {aestream.__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="read settings from a YAML or TOML file")
    common.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="set one setting, such as http.port=0"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, handler: Handler) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, parents=[common])
        made.set_defaults(handler=handler)
        return made

    _add_demo(add)
    init = add("init", "propose a commented configuration for a topic or a file", _init)
    where = init.add_mutually_exclusive_group()
    where.add_argument("--file", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet")
    where.add_argument("--topic", metavar="TOPIC", help="a topic on the configured brokers (default: the input topic)")
    arguments.add_entities(init)
    arguments.add_encoding(init)
    init.add_argument("--out", type=Path, metavar="FILE", help="write to this file (default: standard output)")
    add("worker", "run the service that scores the input topic", _worker)
    train = add("train", "train a model once, on the records of the input topic or on a file", _train)
    train.add_argument("file", nargs="?", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet")
    arguments.add_encoding(train)
    arguments.add_uses(train)
    arguments.add_entities(train)
    add("trainer", "run the service that retrains on a schedule", _trainer)
    for name, text in (
        ("score", "score the records of a file"),
        ("encode", "write the latent vectors of a file's records (dimensionality reduction)"),
        ("denoise", "write the reconstructions of a file's records (noise removal)"),
    ):
        made = add(name, text, _offline)
        if name != "score":
            arguments.add_uses(made)
            made.add_argument(
                "--fit", type=Path, metavar="FILE", help="fit on this file instead of loading a model from the store"
            )
        made.add_argument("file", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet")
        arguments.add_entities(made)
        arguments.add_encoding(made)
        arguments.add_output(made, "write")
    arguments.add_backtest(
        add("backtest", "show what a model would have flagged in a past stretch of a file or topic", _backtest)
    )
    arguments.add_bench(add("bench", "measure what one worker takes here, and how many the input needs", _bench))
    add("validate", "check configuration, broker, topics, permissions and model", _validate)
    config = add("config", "show the settings in force, with secrets hidden", _config)
    config.add_argument(
        "--example", action="store_true", help="print a commented example file with all settings instead"
    )
    arguments.add_topics(add("topics", "manage the topics", _topics))
    model = add("model", "manage the model's versions", _model)
    model.add_argument(
        "action", choices=_MODEL_ACTIONS, help="list all versions, show or export one, promote one, or roll back"
    )
    model.add_argument("version", nargs="?", help="default: the current version (rollback: the one before it)")
    model.add_argument("--json", action="store_true", help="show: print the manifest as it is")
    model.add_argument("--onnx", type=Path, metavar="FILE", help="export: write the network as ONNX to this new file")
    arguments.add_dead_letters(add("dlq", "look at the dead letters, or send them back after a fix", _dlq))
    tail = add("tail", "print anomalies as they are found", _tail)
    tail.add_argument("--last", type=int, default=10, metavar="N", help="start with the last N anomalies (default: 10)")
    return parser


def _settings(options: argparse.Namespace, more: Sequence[str] = ()) -> settings.Settings:
    """Load the settings, with some `more` of them, and set up logging accordingly."""
    short = [f"{name}={getattr(options, option)}" for option, name in _SHORT.items() if getattr(options, option, None)]
    loaded = settings.load(options.config, reference.assignments([*options.set, *short, *more]))
    log.setup(style=loaded.log.format, level=loaded.log.level, reworded=reference.in_variables)
    return loaded


def _add_demo(add: Callable[[str, str, Handler], argparse.ArgumentParser]) -> None:
    from aestream.demo import options as demo  # noqa: PLC0415 - so that other commands start quickly

    made = add("demo", "run the whole pipeline on real data", _demo)
    demo.add_arguments(made)


def _demo(options: argparse.Namespace) -> int:
    from aestream.demo.run import run  # noqa: PLC0415 - needs the extra `demo`

    return run(options)


def _init(options: argparse.Namespace) -> int:
    from aestream.app import propose  # noqa: PLC0415

    out: Path | None = options.out
    if out is not None and out.exists():
        raise ConfigurationError(f"{out} already exists: choose another file, or move that one away")
    text, notes = propose.proposed_configuration(_settings(options), options.file, options.topic)
    if out is None:
        print(text, end="")
        return 0
    try:
        out.write_text(text)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}") from error
    print(f"wrote {out}")
    for note in notes:
        print(f"note: {note}")
    return 0


def _worker(options: argparse.Namespace) -> int:
    from aestream.app import worker  # noqa: PLC0415

    worker.run_worker(_settings(options))
    return 0


def _train(options: argparse.Namespace) -> int:
    from aestream.app import terminal, trainer  # noqa: PLC0415

    loaded = _settings(options)
    with terminal.TrainingReport() as report:
        run = trainer.trainer(loaded, report, options.file).run()
    terminal.trained(run, loaded.model.name)
    return 0


def _trainer(options: argparse.Namespace) -> int:
    from aestream.app import trainer  # noqa: PLC0415

    trainer.run_trainer(_settings(options))
    return 0


def _offline(options: argparse.Namespace) -> int:
    from aestream.app import models, samplers  # noqa: PLC0415
    from aestream.files import offline, writers  # noqa: PLC0415

    work: Any = {"score": offline.score, "encode": offline.encode, "denoise": offline.denoise}[options.command]
    loaded = _settings(options)
    if options.command == "score":
        detector = models.load_detector(loaded)
    else:
        detector = models.fit_file(loaded, options.fit) if options.fit else models.load_for_use(loaded)
    if options.output and options.output.exists() and options.file.exists() and options.output.samefile(options.file):
        raise ConfigurationError(f"{options.output} is the file to read: give the output another name")
    lines, roles = samplers.lines(loaded), models.roles(loaded, detector)
    chunks = offline.apply(work, detector, options.file, lines, loaded.files.encoding, roles)
    with writers.writer(options.output, options.format) as writer:
        done = offline.write(chunks, writer)
    for note in done.notes:
        print(note, file=sys.stderr)
    return 1 if done.failed == done.records else 0


def _backtest(options: argparse.Namespace) -> int:
    from aestream.app import backtest, tables  # noqa: PLC0415
    from aestream.files import writers  # noqa: PLC0415

    drawing = backtest.drawing(options.plot)
    loaded, other = _settings(options), options.against_set
    plan = backtest.Plan(
        options.source,
        options.fit,
        options.against,
        (other, _settings(options, [other])) if other else None,
        options.label,
        *backtest.span(options.start, options.end),
    )
    with tables.judging() as progress:
        what, judged = backtest.run(loaded, plan, progress)
    found = tables.results(judged)
    tables.report(what, found)
    if options.output:
        with writers.writer(options.output, options.format) as writer:
            for of in found:
                writer.write(tables.rows(of))
    if drawing:
        drawing(options.plot, what, found[0].name, found[0].outcome, found[0].episodes)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from aestream.app import terminal  # noqa: PLC0415
    from aestream.bench import report, run  # noqa: PLC0415
    from aestream.bench.screen import Screen  # noqa: PLC0415

    with Screen() as screen:
        code, found = run.run(_settings(options), options, screen)
    if found is not None and options.json:
        report.dump(found)
    elif found is not None:
        report.show(found, terminal.console)
    return code


def _validate(options: argparse.Namespace) -> int:
    loaded = _settings(options)
    from aestream.app import validate  # noqa: PLC0415

    failed = False
    for check in validate.run(loaded):
        print(f"{check.outcome:8} {check.name}: {reference.in_variables(check.message)}")
        failed = failed or check.outcome is validate.Outcome.FAILED
    return 1 if failed else 0


def _config(options: argparse.Namespace) -> int:
    if options.example:
        print(reference.example(), end="")
        return 0
    for line in reference.in_force(_settings(options)):
        print(line)
    return 0


def _topics(options: argparse.Namespace) -> int:
    from aestream.app import topics  # noqa: PLC0415

    made, grown = topics.create(
        _settings(options),
        partitions=options.partitions,
        replication=options.replication,
        with_input=options.with_input,
    )
    if made:
        print(f"created {', '.join(made)}")
    for name, (before, now) in grown.items():
        print(f"{name} now has {now} partitions, up from {before}: from now on, keys go to other partitions")
    if not made and not grown:
        print("nothing to create: all topics exist and have enough partitions")
    return 0


def _model(options: argparse.Namespace) -> int:
    from aestream import artefact  # noqa: PLC0415
    from aestream.app import models, terminal  # noqa: PLC0415

    settings = _settings(options)
    store = models.registry(settings)
    if options.action == "export":
        models.export(settings, options.version, options.onnx)
    elif options.action == "list":
        found = store.versions()
        try:
            current = store.current()
        except ModelError:
            terminal.versions(found, None)  # needed to fix this error
            raise
        terminal.versions(found, current)
    elif options.action in {"promote", "rollback"}:
        version = options.version
        if version is not None:
            models.promote(settings, version)
        elif options.action == "rollback":
            version = store.rollback()
        else:
            raise ConfigurationError("promote needs a version: `aestream model list` shows the versions")
        print(f"the current version is now {store.model}@{version}; workers load it at their next poll")
    else:
        version = options.version or store.current()
        if version is None:
            raise ConfigurationError(f"there is no model {store.model!r} yet: `aestream train` makes one")
        manifest = artefact.read_manifest(store.open(version))
        if options.json:
            print(manifest.to_json())
        else:
            terminal.model(manifest, f"{store.model}@{version}")
    return 0


def _dlq(options: argparse.Namespace) -> int:
    from aestream.app import dead_letters, letters  # noqa: PLC0415

    loaded = _settings(options)
    if options.action == "show":
        with letters.working("reading") as progress:
            found = dead_letters.look(loaded, reason=options.reason, last=options.last, progress=progress)
        (letters.dump if options.json else letters.show)(found)
        return 0
    with letters.working("sending") as progress:
        outcome = dead_letters.replay(
            loaded, reason=options.reason, dry_run=options.dry_run, refused=letters.refused, progress=progress
        )
    letters.replayed(outcome, dry_run=options.dry_run)
    return 1 if outcome.refused and not outcome.sent else 0


def _tail(options: argparse.Namespace) -> int:
    from aestream.app import terminal, topics  # noqa: PLC0415

    loaded = _settings(options)
    for batch in topics.follow_anomalies(loaded, options.last):
        for value in batch.values:
            if value is not None:
                terminal.anomaly(value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
