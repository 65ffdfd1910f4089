"""The server: sessions, pre- and post-processing, in front of NVIDIA Triton."""
