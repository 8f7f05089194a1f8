"""The chaos tests run on the same cluster, model and settings as those of tests/kafka."""

from tests.kafka.conftest import cluster, make_settings, trained

__all__ = ["cluster", "make_settings", "trained"]
