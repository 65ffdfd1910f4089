"""Triton on this machine: installed, started and watched."""
