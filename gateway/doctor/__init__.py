"""``gateway doctor``: check what a gateway with these settings needs, and say what is wrong. It changes nothing."""

from gateway.doctor.examination import examine

__all__ = ["examine"]
