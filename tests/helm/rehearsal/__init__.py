"""The rehearsal: the chart's manifests run on this machine with the parts of Kubernetes that they rely on."""
