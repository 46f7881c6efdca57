"""Runs from elsewhere: what other programs logged, read into typed records, and the verdicts on them."""
