"""The Helm chart: ``sixpoint/`` is the chart, ``values/`` describes its values, ``generate.py`` writes what follows."""
