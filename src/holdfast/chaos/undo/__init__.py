"""Faults end even if the program that began them is killed: what undoes them is written down first."""
