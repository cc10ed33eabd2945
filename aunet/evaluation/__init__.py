"""Is one network better than another? Scores of test cases, paired statistics, comparison."""
