"""The bare classifier as a runtime of MLServer, in MLServer's environment; ``settings.json`` lies beside the copy."""

from bare import Bare  # type: ignore[import-not-found]
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.types import (  # type: ignore[import-not-found]
    InferenceRequest,
    InferenceResponse,
    ResponseOutput,
)


class MLServerClassifier(MLModel):  # type: ignore[misc]
    """Open Inference Protocol: one tensor of the image file in base64."""

    async def load(self) -> bool:
        """Called in every worker."""
        self.bare = Bare()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The label."""
        data = payload.inputs[0].data.root[0]
        labels = self.bare.labels(self.bare.decode(data if isinstance(data, str) else data.decode()))
        output = ResponseOutput(name="label", shape=[1], datatype="INT64", data=labels)
        return InferenceResponse(model_name=self.name, outputs=[output])
