"""The application's handlers, its live view and the invariants that must hold."""
