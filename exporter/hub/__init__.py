"""Download models that other people published."""
