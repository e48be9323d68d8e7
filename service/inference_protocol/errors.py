"""Errors of a request of the Open Inference Protocol."""


class ProtocolError(Exception):
    """The request does not follow the protocol or does not fit the model.

    The message names the tensor and the remedy.
    """


class HiddenOutputError(ProtocolError):
    """The request asks for an output that its caller may not see."""
