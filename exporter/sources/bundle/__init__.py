"""Read MONAI bundles. Their configuration is data here: none of their code runs."""
