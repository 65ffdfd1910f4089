"""From a trained checkpoint to a model that Triton serves: exported, compared, described, and put in its place."""
