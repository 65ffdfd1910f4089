"""Sessions, segments and steps in SQL."""
