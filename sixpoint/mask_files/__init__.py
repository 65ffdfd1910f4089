"""Files of masks: label maps with the names of their labels, and DICOM."""
