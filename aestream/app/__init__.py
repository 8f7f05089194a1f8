"""Settings into objects, and nothing else: the only place that knows both."""
