"""A load client in a process of its own, lighter than what it measures.

Requests are built beforehand, sockets are used without an HTTP library, and of an answer only the status and the
length are read. Every request that was sent is accounted for: by its status, or as lost.
"""
