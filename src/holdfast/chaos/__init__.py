"""The chaos lab: break real brokers under load, and prove from the history that nothing was lost."""
