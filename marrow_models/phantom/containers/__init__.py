"""Writing a phantom slide as a real file: the same JPEG tiles in Aperio SVS, OME-TIFF and DICOM."""
