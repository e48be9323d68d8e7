"""Schema of KubeRay's RayJob: what this project uses of the resource, written down from its documentation.

https://ray-project.github.io/kuberay/reference/api/ describes it. Pods are those of Kubernetes. No package
holds the whole definition.
"""

import json
import re
from importlib.resources import files
from typing import Any

KUBERNETES = "1.37.0"
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_PARAMETERS: Schema = {"type": "object", "additionalProperties": _TEXT}
_TEMPLATE: Schema = {"$ref": "#/$defs/io.k8s.api.core.v1.PodTemplateSpec"}


def _object(needed: dict[str, Schema], **others: Schema) -> Schema:
    properties = needed | others
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(needed),
        "properties": properties,
    }


_GROUP: dict[str, Schema] = {"rayStartParams": _PARAMETERS, "template": _TEMPLATE}
_CLUSTER = _object(
    {"headGroupSpec": _object(_GROUP)},
    rayVersion=_TEXT,
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            {"groupName": _TEXT, "minReplicas": _COUNT, "maxReplicas": _COUNT, **_GROUP}, replicas=_COUNT
        ),
    },
)
_JOB = _object(
    {"entrypoint": _TEXT, "rayClusterSpec": _CLUSTER},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    backoffLimit=_COUNT,
    activeDeadlineSeconds=_COUNT,
    shutdownAfterJobFinishes=_FLAG,
    ttlSecondsAfterFinished=_COUNT,
)


def ray_job() -> Schema:
    """The JSON schema of a RayJob: nothing else is allowed."""
    core = files("kubernetes_validate").joinpath(
        "kubernetes-json-schema", f"v{KUBERNETES}-local-strict", "_definitions.json"
    )
    schema = _object(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": "RayJob"},
            "metadata": _object({"name": _TEXT}),
            "spec": _JOB,
        }
    )
    text = json.dumps({**schema, "$defs": json.loads(core.read_text())["$defs"]})
    made: Schema = json.loads(re.sub(r'"/?(?:api/)?_definitions\.json#/', '"#/', text))
    return made
