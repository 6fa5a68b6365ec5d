"""Real sockets over an emulated link: two network namespaces, a program between them, and what is tried on it."""
