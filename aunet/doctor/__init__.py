"""Diagnosis of a cohort, case by case: problems are found by reading and reported with a remedy; no file is changed."""
