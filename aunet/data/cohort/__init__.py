"""Which cases there are: their files, classes, patients and splits."""
