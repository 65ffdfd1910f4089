"""Reading the messages of calls: bounded, and in turns by owner."""
