"""The application's contracts: its events and the values of its state tables."""
