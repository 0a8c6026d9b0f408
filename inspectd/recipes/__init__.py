"""Recipes of a line beside its configuration file: their store, and the record of what was put in force."""
