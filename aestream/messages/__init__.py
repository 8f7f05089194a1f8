"""What is published: scores, anomalies and dead letters, as JSON with CloudEvents headers."""
