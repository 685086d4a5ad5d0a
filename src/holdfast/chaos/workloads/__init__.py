"""What goes on while things are broken: applications small enough to be judged record by record."""
