"""This process and its machine: memory, files, threads, the interpreter."""
