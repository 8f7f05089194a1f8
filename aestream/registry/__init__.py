"""The model store: versions in folders, a pointer to the one in use, rollback. Knows no torch."""
