"""What can go wrong with a user's model, data, images or store. Messages name the thing and the remedy."""


class GuardError(Exception):
    """Base of every error that is the caller's to mend; commands print it without a traceback."""


class ModelError(GuardError):
    """The ONNX file cannot be guarded: it is no classifier, or has a node that cannot be mutated."""


class DataError(GuardError):
    """A data SPEC that cannot be read, or that holds too little for what it is asked for."""


class ImageError(GuardError):
    """An image that cannot be turned into the model's input without guessing."""


class StoreError(GuardError):
    """A mutant store that is missing, incomplete, damaged or of a schema this release does not read."""
