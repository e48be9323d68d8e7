"""``python litserve_app.py PORT BATCH WORKERS``: the bare classifier behind LitServe.

It runs in LitServe's environment.
"""

import sys
from typing import Any

import litserve
import numpy as np
from bare import Bare  # type: ignore[import-not-found]


class LitServeClassifier(litserve.LitAPI):  # type: ignore[misc]
    """LitServe application that takes JSON, its default, with the image file in base64."""

    def setup(self, device: str) -> None:
        """Load the classifier; LitServe calls this in every worker."""
        self.bare = Bare()

    def decode_request(self, request: dict[str, str]) -> Any:
        """Return the classifier's input, float32 [1, …], of a request."""
        return self.bare.decode(request["image"])

    def batch(self, inputs: list[Any]) -> Any:
        """Join the inputs of several requests."""
        return np.concatenate(inputs)

    def predict(self, inputs: Any) -> Any:
        """Return the labels of a batch, or the one label of a request alone."""
        return self.bare.labels(inputs)

    def unbatch(self, output: list[int]) -> list[list[int]]:
        """Split the labels of a batch into one list for each request."""
        return [[label] for label in output]

    def encode_response(self, output: list[int]) -> dict[str, int]:
        """Return the answer with the label."""
        return {"label": output[0]}


if __name__ == "__main__":
    port, size, workers = map(int, sys.argv[1:])
    batching = {"max_batch_size": size, "batch_timeout": 0.002} if size > 1 else {}
    server = litserve.LitServer(LitServeClassifier(**batching), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, log_level="warning", access_log=False, generate_client_file=False)
