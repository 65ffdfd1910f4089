"""The whole circle, with a simulated annotator: annotate, save, accept, train, publish, annotate with fewer clicks."""
