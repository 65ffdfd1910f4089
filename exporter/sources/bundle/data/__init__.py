"""Read a bundle's config as plain data: references, expressions, and chains of transforms."""
