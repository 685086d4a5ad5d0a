"""A network that can be broken: each broker in a namespace, and a switch of our own between them."""
