"""The plots, one noun a file: each file registers what it draws, and is found by being here."""
