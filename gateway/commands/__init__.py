"""The commands of ``gateway`` that have files of their own."""
