"""Numbers, names and grids of masks: which voxels are the object, and where two masks differ."""
