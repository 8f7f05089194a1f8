"""Learning what is normal of records that follow each other, entity by entity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aestream.detector.course import Course, chart
from aestream.detector.deviations import EveryDeviation
from aestream.detector.fitted import Fitted
from aestream.detector.learn import Ground, calibrate, inputs_by, inputs_of, learn
from aestream.detector.learn_windows import learn_windows, shares_of, stretches
from aestream.detector.options import Options
from aestream.detector.rows import Frame
from aestream.detector.scales import Moved, Scales, numbered
from aestream.detector.series import Naming, Parts, Series, logs_of, owners, with_rates, without_unseen
from aestream.detector.windows import Windows
from aestream.errors import DataError
from aestream.features.encoder import FeatureEncoder
from aestream.features.schema import FeatureSchema
from aestream.networks.progress import Progress
from aestream.portions import Chosen, compact
from aestream.state.alarms import Alarms
from aestream.state.entities import Entities, Values
from aestream.state.episodes import Episodes
from aestream.state.past import Past
from aestream.state.usual import learn_usual
from aestream.types import Key, Matrix, Places, Status, Vector

# A fit needs at least so many records with those before them.
MIN_ROWS = 10
# So many records at most tell how a model errs on entities that it has not seen.
STRANGERS = 8000


@dataclass(frozen=True, slots=True)
class Sample:
    """The n records to learn from, with those before them.

    `rows` (r, d) in the user's units, with rates; `windows` (n, L) their places, newest last; `owner` (n,) which entity
    a record is of, and `who` (n,) its number, 0 for one without its own; `whose` (r,) the number for each row.
    """

    rows: Matrix
    windows: Places
    owner: Places
    who: Places
    whose: Places


def learn_from(
    matrix: Matrix,
    schema: FeatureSchema,
    options: Options,
    keys: Sequence[Key] | None,
    times: Vector | None,
    naming: Naming | None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Learn what is normal from (n, d) rows in time order, each alone where nothing before it says more.

    `keys` and `times` (n,), in seconds, are those of the rows, and `naming` says where they were found.

    Raises what `learn` raises.
    """
    if options.window == 1:
        return learn(matrix, schema, options, progress)[0]
    naming = naming or Naming(keys is not None, times is not None)
    course = chart(matrix, schema, options, keys, times, naming)
    if course.window > 1 or len(schema.counters):
        return learn_series(course, schema, options, progress)
    fitted, _ = learn(course.matrix, schema, options, progress)
    return replace(fitted, training={**fitted.training, "decisions": course.decisions})


def learn_series(
    course: Course,
    schema: FeatureSchema,
    options: Options,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Learn what is normal of the records of a course.

    Raises what `learn` raises.
    """
    past = Past(len(schema), course.window, schema.counters)
    values = np.full(len(course.entities), past.blank)
    steps = past.follow(values, course.longest[1:], course.owner, course.matrix, course.times)
    chosen = np.flatnonzero(steps.status == Status.SCORED)
    if len(chosen) < MIN_ROWS:
        raise DataError(
            f"only {len(chosen)} of the {len(course.matrix)} records have {max(course.window - 1, 1)} of their entity "
            "before them: give more records, or set `window` to 1"
        )
    rates = _usual_rates(steps.rows[steps.windows[chosen, -1:], schema.counters], schema)
    rows = with_rates(steps.rows, schema.counters, rates)
    numbers = _numbers(course.owner[chosen], len(course.entities))
    who = numbers[course.owner]
    if course.window == 1:
        newest = rows[steps.windows[chosen, -1]]
        fitted, errors = learn(newest, schema, options, progress)
        scales = Scales.fit(newest, np.zeros(len(newest), np.intp), np.empty(0, np.intp))
        strange = None
    else:
        whose = owners(steps, who)  # before the windows move
        sample = Sample(rows, compact(steps.windows, chosen), course.owner[chosen], who[chosen], whose)
        del steps  # what else it tells takes memory
        context = None if course.times is None else course.clock.inputs(course.times[chosen])
        fitted, scales, errors, strange = _learn_together(sample, context, schema, options, progress)
    rate = fitted.threshold.false_alarm_rate
    usual = learn_usual(logs_of(errors), rate, who[chosen], int(numbers.max(initial=0)))
    thresholds = fitted.threshold.value * np.exp(usual["threshold"] - usual["threshold"][0])
    if strange is not None:
        strangers = learn_usual(strange, rate)[0]
        # A threshold that is too low for an entity rises within a few records, and one too high hardly ever falls.
        if strangers["threshold"] < usual["threshold"][0]:
            thresholds[0] *= np.exp(strangers["threshold"] - usual["threshold"][0])
            usual[0] = strangers
    parts = Parts(past, Alarms(rate, options.adaptation), Episodes(len(schema)))
    series = Series(
        parts=parts,
        rate=rate,
        clock=course.clock,
        scales=scales,
        rates=rates,
        numbers=np.append(0, numbers),
        longest=course.longest,
        usual=usual,
        thresholds=thresholds,
        end=_end(parts, course.entities, values, usual[numbers]),
        naming=course.naming,
    )
    told = {"window": course.window, "decisions": course.decisions}
    return replace(fitted, series=series, training={**fitted.training, **told})


def _learn_together(
    sample: Sample,
    context: Matrix | None,
    schema: FeatureSchema,
    options: Options,
    progress: Callable[[Progress], None] | None,
) -> tuple[Fitted, Scales, Vector, Vector | None]:
    """Learn to judge records with those before them; `context` (n, c) says when they were.

    Returns what is fitted, each entity's scaling, the errors of the records as if no member had seen them, (n,), and
    log errors as if their entities had not been seen either; None where no entity has its own scaling.
    """
    table = Chosen(sample.rows, sample.windows[:, -1], np.arange(len(schema)))
    ground = Ground.of(table, schema, options)
    table = replace(table, columns=ground.constants.others)
    scales = Scales.fit(table, sample.who, ground.constants.moving.numeric)
    encoder = FeatureEncoder.fit(Moved(table, sample.who, scales), ground.constants.moving)
    deviations = ground.deviations(encoder)

    def unscaled(chosen: Places | slice) -> Matrix:
        return ground.constants.without(sample.rows[chosen])

    def known(chosen: slice) -> Matrix:
        moved = scales.toward(unscaled(chosen), sample.whose[chosen])
        return moved if options.flag_unseen else without_unseen(moved, encoder)

    shares = shares_of(inputs_by(encoder, table.shape[0], lambda some: unscaled(table.rows[some])), encoder.weights)
    inputs = inputs_by(encoder, len(sample.rows), known)
    # the rows themselves are only asked for to see which deviations count
    asked = slice(0) if isinstance(deviations, EveryDeviation) else slice(None)
    frame = Frame(known(asked), inputs, sample.windows, sample.who, context, scales=scales)
    judge, errors, training = learn_windows(
        frame,
        stretches(sample.owner),
        shares=shares,
        deviations=deviations,
        options=options,
        progress=progress,
    )
    fitted = calibrate(
        ground, encoder, judge, errors, lambda: inputs[sample.windows[:, -1]], options, training, progress
    )
    strange = _as_strangers(judge, encoder, frame, unscaled, errors, options) if sample.who.any() else None
    return fitted, scales, errors, strange


def _as_strangers(
    judge: Windows,
    encoder: FeatureEncoder,
    frame: Frame,
    unscaled: Callable[[Places], Matrix],
    errors: Vector,
    options: Options,
) -> Vector:
    """The log errors of some records of a frame, if the training had not seen their entities and their scales.

    `unscaled` gives rows of the frame, by their places, in their own units; `errors` (n,) are those of its records as
    if no member had seen them.
    """
    some = np.sort(np.random.default_rng(options.seed).permutation(len(errors))[:STRANGERS])
    part = frame.at(some)
    assert part.windows is not None  # noqa: S101 - the frame has windows
    rows = unscaled(part.windows.ravel())
    known = rows if options.flag_unseen else without_unseen(rows, encoder)
    windows = np.arange(len(rows)).reshape(part.windows.shape)
    strange = Frame(known, inputs_of(encoder, known), windows, context=part.context)
    unseen = logs_of(errors[some]) - logs_of(judge.judge(part).error)
    return logs_of(judge.judge(strange).error) + unseen


def _end(parts: Parts, keys: Sequence[Key], past: Values, usual: Values) -> Entities:
    """What is remembered of entities (e,) after the training: their rows, and alarms that have seen nothing yet."""
    end = Entities(parts.layout, parts.blank(usual[:1]))
    places = end.places(keys)
    values = end.values[places]
    values["past"], values["alarms"] = past, parts.alarms.blank(usual)
    end.values[places] = values
    return end


def _numbers(owner: Places, entities: int) -> Places:
    """Number the entities that have records enough for their own scaling, from 1; 0 for the others, (e,).

    `owner` (n,) says which of `entities` a record belongs to. A single entity is what all records say of it.
    """
    numbers = np.zeros(entities, np.intp)
    if entities > 1:
        _, own = numbered(owner)
        numbers[own] = np.arange(1, len(own) + 1)
    return numbers


def _usual_rates(observed: Matrix, schema: FeatureSchema) -> Vector:
    """The median of each counter's rates (n, c); NaN for one that may be missing, and is imputed."""
    usual = np.nanmedian(observed, axis=0)
    return np.where(schema.imputed[schema.counters], np.nan, usual)
