"""Pictures and tables of policies and of what a store knows; each picture is a function that returns a figure."""
