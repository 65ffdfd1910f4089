"""Jobs that move datasets between the gateway and folders of the operator's: exports and imports."""

from gateway.core.jobs.transfers.exporting import ExportJobs
from gateway.core.jobs.transfers.importing import ImportJobs

__all__ = ["ExportJobs", "ImportJobs"]
