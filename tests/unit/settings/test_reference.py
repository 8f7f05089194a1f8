"""The settings as people see them: options in a message become variables, and nothing else does."""

from __future__ import annotations

import pytest

from aestream.errors import DataError
from aestream.settings import reference


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lower `min_records` (500)", "lower AESTREAM_TRAINER__MIN_RECORDS (500)"),
        ("train with `missing=impute`", "train with AESTREAM_FEATURES__MISSING=impute"),
        ("check `ssl_cafile` and `topics`", "check AESTREAM_KAFKA__SSL_CAFILE and AESTREAM_TOPICS__INPUT"),
        ("the settings in `connection`: x", "the settings in AESTREAM_KAFKA__*: x"),
        ("raise `max_ratio`", "raise AESTREAM_DEAD_LETTERS__MAX_INVALID_RATIO"),
        ("`aestream train` makes one", "`aestream train` makes one"),
        ("write `every 24h` or `off`", "write `every 24h` or `off`"),
        ("the field 'port' is text, `encode` needs a number", "the field 'port' is text, `encode` needs a number"),
    ],
)
def test_an_option_in_a_message_becomes_its_variable(text: str, shown: str) -> None:
    assert reference.in_variables(text) == shown
    assert reference.in_variables(shown) == shown


def test_an_error_keeps_its_class_and_names_the_variable() -> None:
    with pytest.raises(DataError, match=r"^lower AESTREAM_TRAINER__MIN_RECORDS$"), reference.naming_variables():
        raise DataError("lower `min_records`")
