"""Does the lab see what is wrong? Loops that make one mistake each, and those that must not be blamed."""
