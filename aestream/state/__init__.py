"""What is remembered of each entity: its last rows, its counters, its alarms. Knows keys, times and matrices."""
