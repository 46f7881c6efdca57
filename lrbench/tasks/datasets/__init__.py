"""The registered datasets, one noun a file; the registry finds them here."""
