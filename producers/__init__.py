"""The application's sources of events."""
