"""Runtime: what every call needs, such as admission, deadlines, the model catalog and inference."""
