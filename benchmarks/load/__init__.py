"""A load client in a process of its own, lighter than what it measures.

Requests are built beforehand, sockets are used without an HTTP library, and only the status and the
length of an answer are read. Every request that was sent is accounted for: by its status, or as
lost.
"""
