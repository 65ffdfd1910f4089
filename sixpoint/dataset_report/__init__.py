"""A dataset's report: one HTML file with figures, plots and pictures, which needs no server."""

from sixpoint.dataset_report.charts import Marker, Series, line_chart
from sixpoint.dataset_report.figures import DatasetFigures, collect_figures
from sixpoint.dataset_report.page import render_page
from sixpoint.dataset_report.thumbnails import Thumbnail, hardest_cases

__all__ = [
    "DatasetFigures",
    "Marker",
    "Series",
    "Thumbnail",
    "collect_figures",
    "hardest_cases",
    "line_chart",
    "render_page",
]
