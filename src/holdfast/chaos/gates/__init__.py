"""Gates: doors on loopback before the real systems that an application uses, which can be shut."""
