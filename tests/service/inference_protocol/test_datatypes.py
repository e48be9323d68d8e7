"""Datatypes of the protocol, compared with those of Triton's own client."""

import pytest
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from service.inference_protocol.datatypes import Datatype


@pytest.mark.parametrize("datatype", list(Datatype))
def test_a_datatype_is_what_it_is_elsewhere(datatype: Datatype) -> None:
    assert np_to_triton_dtype(datatype.dtype) == datatype
    assert triton_to_np_dtype(datatype.value) == datatype.dtype
