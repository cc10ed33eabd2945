"""From a scan as stored to the array that a network sees."""
