"""Hostile callers against a gateway, and what a polite caller beside them notices."""
