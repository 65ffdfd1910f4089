"""Download models from public hosts into a cache folder."""
