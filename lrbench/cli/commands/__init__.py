"""The commands of `lrbench`, one file each, named as the command."""
