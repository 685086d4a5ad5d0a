"""Parts for users' tests and for ours."""
