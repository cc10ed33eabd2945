"""What is wrong with a cohort, case by case: found by reading, told with a remedy, never changed in place."""
