"""The weights that a run starts from: where they lie, how they are read, and the licence that they bring along."""

from trainer.training.start.find import StartFile, find_start, resolve_start
from trainer.training.start.origin import combine_licences, describe_origin
from trainer.training.start.warm_start import adapt_weights, load_matching, start_network

__all__ = [
    "StartFile",
    "adapt_weights",
    "combine_licences",
    "describe_origin",
    "find_start",
    "load_matching",
    "resolve_start",
    "start_network",
]
