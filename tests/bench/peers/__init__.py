"""The same job, written with what users would take instead. Each program runs by itself, without aestream."""
