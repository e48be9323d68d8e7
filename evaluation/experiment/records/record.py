"""Base of every record of figures, and a figure with its interval."""

from pydantic import ConfigDict

from mutant_guard.store.manifest import Frozen


class Record(Frozen):
    """Record of figures; an infinite one survives JSON."""

    model_config = ConfigDict(ser_json_inf_nan="strings", allow_inf_nan=True)


class Interval(Record):
    """Figure with its interval; 95 % unless the field that holds it says otherwise."""

    value: float
    low: float
    high: float
