"""The bare classifier as a runtime of MLServer, in MLServer's environment.

``settings.json`` lies beside the copy that runs there.
"""

from bare import Bare  # type: ignore[import-not-found]
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.types import (  # type: ignore[import-not-found]
    InferenceRequest,
    InferenceResponse,
    ResponseOutput,
)


class MLServerClassifier(MLModel):  # type: ignore[misc]
    """Runtime for the Open Inference Protocol with one tensor: the image file in base64."""

    async def load(self) -> bool:
        """Load the classifier; MLServer calls this in every worker."""
        self.bare = Bare()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the label of one image."""
        data = payload.inputs[0].data.root[0]
        labels = self.bare.labels(self.bare.decode(data if isinstance(data, str) else data.decode()))
        output = ResponseOutput(name="label", shape=[1], datatype="INT64", data=labels)
        return InferenceResponse(model_name=self.name, outputs=[output])
