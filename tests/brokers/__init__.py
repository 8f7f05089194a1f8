"""Apache Kafka itself, for tests, benchmarks and the recording: from Maven Central, without Docker."""
