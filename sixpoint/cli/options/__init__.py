"""Options that several commands take, one file per subject."""
