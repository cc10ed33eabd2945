"""How does a run look? Tables, curves, pictures and the report, from the files of runs."""
