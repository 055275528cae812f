"""Measure the figures the project promises: each against its own baseline, in one run, on the machine at hand."""
