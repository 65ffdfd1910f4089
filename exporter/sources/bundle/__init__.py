"""Read a MONAI bundle's configuration as data; none of its code runs."""
