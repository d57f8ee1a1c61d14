"""The status page: is mail flowing, since when, and what is to be done."""
