"""Rollouts of annotation networks in this process: six points, then clicks, by the gateway's own functions."""
