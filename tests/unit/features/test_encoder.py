import numpy as np
import pytest

from aestream.columns import Column, Kind
from aestream.errors import DataError
from aestream.features.clock import DAY
from aestream.features.encoder import FeatureEncoder
from aestream.features.numeric import NumericScaler
from aestream.features.schema import FeatureSchema

ROWS = 4000


def schema(*columns: Column) -> FeatureSchema:
    names = tuple(f"f{place}" for place in range(len(columns)))
    return FeatureSchema(names, tuple((name,) for name in names), columns)


MIXED = schema(
    Column(),
    Column(Kind.BOOLEAN),
    Column(Kind.CATEGORICAL, ("a", "b", "c")),
    Column(Kind.TIMESTAMP, unit="s"),
    Column(imputed=True),
    Column(Kind.CATEGORICAL, ("x", "y"), imputed=True),
)


def mixed() -> np.ndarray:
    """Four weeks of all kinds; the last two features have gaps."""
    random = np.random.default_rng(0)
    table = np.column_stack(
        [
            random.normal(50, 10, ROWS),
            random.random(ROWS) < 0.3,
            random.choice(3, ROWS, p=[0.7, 0.25, 0.05]),
            np.linspace(1.7e9, 1.7e9 + 28 * DAY, ROWS),
            random.normal(-5, 2, ROWS),
            random.choice(2, ROWS, p=[0.2, 0.8]),
        ]
    )
    table[::10, 4] = np.nan
    table[::7, 5] = np.nan
    return table


TABLE = mixed()
ENCODER = FeatureEncoder.fit(TABLE, MIXED)
OWNERS = np.array([0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 5, 5])


def test_numbers_alone_are_scaled_and_nothing_else() -> None:
    table = TABLE[:, :1]
    encoder = FeatureEncoder.fit(table, schema(Column()))
    scaler = NumericScaler.fit(table)
    assert np.array_equal(encoder.transform(table), scaler.transform(table))
    assert np.array_equal(encoder.inverse(encoder.transform(table), table), scaler.inverse(scaler.transform(table)))
    assert encoder.weights is None
    assert encoder.width == 1


def test_the_inputs_of_a_feature_vary_together_as_much_as_a_number() -> None:
    inputs = ENCODER.transform(TABLE)
    assert inputs.shape == (ROWS, ENCODER.width) == (ROWS, len(OWNERS))
    assert np.isfinite(inputs).all()
    assert np.abs(inputs.mean(axis=0)).max() < 1e-9
    masks = np.isin(np.arange(len(OWNERS)), [11, 15])
    together = np.bincount(OWNERS[~masks], inputs.var(axis=0)[~masks])
    assert together == pytest.approx([1, 1, 1, 1, 0.9, 1], abs=0.2)  # gaps take a tenth of the fifth one's
    assert inputs[:, masks].std(axis=0) == pytest.approx([1, 1])


def test_weights_let_features_count_alike_however_many_inputs_they_have() -> None:
    weights = ENCODER.weights
    assert weights is not None
    together = np.bincount(OWNERS, weights**2)
    assert together.tolist() == pytest.approx([1, 1, 1, 1, 1.25, 1.25])


def test_what_is_encoded_comes_back() -> None:
    back = ENCODER.inverse(ENCODER.transform(TABLE), TABLE)
    there = ~np.isnan(TABLE)
    np.testing.assert_allclose(back[there], TABLE[there], rtol=1e-9)
    assert back[0, 4] == pytest.approx(np.nanmedian(TABLE[:, 4]))
    assert back[0, 5] == 1  # the most frequent


def test_shares_of_inputs_add_up_to_shares_of_features() -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(len(OWNERS)), 50)
    found = ENCODER.by_feature(shares)
    assert found.sum(axis=1) == pytest.approx(np.ones(50))
    assert found[:, 2] == pytest.approx(shares[:, 2:6].sum(axis=1))


def test_an_unseen_category_has_an_input_of_its_own() -> None:
    table = TABLE[:3].copy()
    table[1:, 2] = -1
    table[0, 5] = np.nan
    inputs = ENCODER.transform(table)
    assert inputs[1, 5] > inputs[0, 5] + 1
    assert ENCODER.inverse(inputs, table)[1, 2] in {0, 1, 2}


def test_a_time_of_day_has_no_jump_at_midnight() -> None:
    night = np.tile(TABLE[:1], (2, 1))
    midnight = np.ceil(1.7e9 / DAY) * DAY
    night[:, 3] = midnight - 1, midnight + 1
    first, second = ENCODER.transform(night)
    assert np.abs(first - second).max() < 1e-3
    noon = night[:1].copy()
    noon[0, 3] += DAY / 2
    assert np.abs(ENCODER.transform(noon)[0] - first).max() > 0.5
    # an hour later by the clock is an hour later on the same night
    later = night[:1].copy()
    later[0, 3] += 3600
    assert ENCODER.inverse(ENCODER.transform(later), night[:1])[0, 3] == pytest.approx(midnight - 1 + 3600)


@pytest.mark.parametrize(("days", "width"), [(1, 1), (3, 3), (20, 5)])
def test_a_cycle_that_the_sample_does_not_show_twice_is_not_learnt(days: float, width: int) -> None:
    table = np.column_stack([TABLE[:, 0], np.linspace(1.7e9, 1.7e9 + days * DAY, ROWS)])
    encoder = FeatureEncoder.fit(table, schema(Column(), Column(Kind.TIMESTAMP, unit="s")))
    assert encoder.width == width
    assert np.array_equal(encoder.inverse(encoder.transform(table), table)[:, 1].round(3), table[:, 1].round(3))


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(DataError, match="the sample spans less than 2 days"):
        FeatureEncoder.fit(TABLE[:100, 3:4], schema(Column(Kind.TIMESTAMP, unit="s")))
    with pytest.raises(DataError, match="'f0' is missing in every record"):
        FeatureEncoder.fit(np.full((30, 1), np.nan), schema(Column(imputed=True)))


def test_what_is_stored_fits_the_schema_or_is_refused() -> None:
    again = FeatureEncoder.from_arrays(ENCODER.arrays(), MIXED)
    assert np.array_equal(again.transform(TABLE), ENCODER.transform(TABLE))
    with pytest.raises(ValueError, match="does not fit"):
        FeatureEncoder.from_arrays(ENCODER.arrays(), schema(*MIXED.columns[:4]))
    plain = FeatureEncoder.fit(TABLE[:, :1], schema(Column()))
    assert FeatureEncoder.from_arrays(plain.arrays(), schema(Column())).plain
