"""The interactive viewer of a report: scans, label maps and coefficients in three planes, inside the page."""
