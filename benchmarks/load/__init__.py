"""Many connections at once: what idle ones cost a server, and how it answers when thousands talk.

`crowd` runs it, with `server` in one process and `client` in others.
"""
