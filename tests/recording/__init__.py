"""How the bundled recording is made: a real Apache Kafka, under load, with real faults.

See docs/recording.md.
"""
