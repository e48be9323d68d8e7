"""What is wrong with a request of the protocol."""


class ProtocolError(Exception):
    """The request does not follow the protocol or the model; the message names the tensor and the remedy."""


class HiddenOutputError(ProtocolError):
    """The caller asks for an output that they are not shown."""
