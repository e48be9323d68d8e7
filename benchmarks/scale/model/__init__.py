"""Queueing model of replicas behind a proxy, in the time of a simulation.

Threads do jobs one after the other (``station``) on cores that they have to themselves or share
(``cores``). A replica is the thread of its event loop and a batching engine.
"""
