"""Store images: upload, caches, quota, removal."""
