"""The proof that nothing is lost and nothing doubled: generated mail, faults, kills and outages, and a verdict."""
