"""The demo: real telemetry from a Kafka broker, streamed through the real service."""
