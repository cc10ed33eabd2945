"""Bytes of files to arrays and back: NIfTI, DICOM, pictures, JSON."""
