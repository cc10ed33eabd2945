"""How is a run shown? Tables, curves and the report; pictures of scans are in pictures/."""
