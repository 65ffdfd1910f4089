"""Programs that run in a viewer's own Python, not in ours."""
