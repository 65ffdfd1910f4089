"""What every call needs: admission, cores, deadlines, the model catalog, inference."""
