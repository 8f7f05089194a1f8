"""The demo: real telemetry of a Kafka broker, streamed through the real service."""
