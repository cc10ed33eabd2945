"""A seeded, procedural abdominal CT: anatomy drawn in mm, rendered in HU, stored as a cohort."""
