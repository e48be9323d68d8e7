"""Schemas of KServe's resources, made from the types of its own Python package without installing it."""

import ast
import json
import re
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

KUBERNETES = "1.37.0"
KINDS = {
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): "V1alpha1ServingRuntime",
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
}
_SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "object"}
_CORE_NAME = re.compile(r"io\.k8s\.(?:api\.core|apimachinery\.pkg\.apis\.meta)\.v1\.(\w+)")

Schema = dict[str, Any]
_Type = tuple[dict[str, str], dict[str, str], set[str]]
"""Types by attribute, names in documents by attribute, and the attributes that are needed."""


def schema_of(wheel: Path, root: str) -> Schema:
    """The JSON schema of a type of the package: nothing it does not know is allowed.

    Args:
        wheel: the package as pip downloads it.
        root: name of the type.
    """
    core = files("kubernetes_validate").joinpath(
        "kubernetes-json-schema", f"v{KUBERNETES}-local-strict", "_definitions.json"
    )
    definitions: dict[str, Any] = dict(json.loads(core.read_text())["$defs"])
    types = _types(wheel)
    known = {f"V1{match[1]}": name for name in definitions if (match := _CORE_NAME.fullmatch(name))}
    known["ResourceQuantity"] = "io.k8s.apimachinery.pkg.api.resource.Quantity"
    known["K8sIoApiAppsV1DeploymentStrategy"] = "io.k8s.api.apps.v1.DeploymentStrategy"

    def of(kind: str) -> Schema:
        if match := re.fullmatch(r"list\[(.+)\]", kind):
            return {"type": "array", "items": of(match[1])}
        if match := re.fullmatch(r"dict\(str, (.+)\)", kind):
            return {"type": "object", "additionalProperties": of(match[1])}
        if kind in _SCALARS:
            return {"type": _SCALARS[kind]}
        if kind in known:
            return {"$ref": f"#/$defs/{known[kind]}"}
        if kind not in types:
            return {"not": {}}  # a document that uses it is refused
        if kind not in definitions:
            definitions[kind] = None  # types may hold themselves
            kinds, names, needed = types[kind]
            definitions[kind] = {
                "type": "object",
                "additionalProperties": False,
                "properties": {names[attribute]: of(each) for attribute, each in kinds.items()},
                "required": sorted(names[attribute] for attribute in needed),
            }
        return {"$ref": f"#/$defs/{kind}"}

    text = json.dumps({**of(root), "$defs": definitions})
    made: Schema = json.loads(re.sub(r'"/?(?:api/)?_definitions\.json#/', '"#/', text))
    return made


def _types(wheel: Path) -> dict[str, _Type]:
    found: dict[str, _Type] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not re.fullmatch(r"kserve/models/[a-z]\w+\.py", name):
                continue
            source = archive.read(name).decode()
            needed = set(re.findall(r"Invalid value for `(\w+)`, must not be `None`", source))
            for node in ast.parse(source).body:
                if isinstance(node, ast.ClassDef):
                    tables = {
                        target.id: ast.literal_eval(statement.value)
                        for statement in node.body
                        if isinstance(statement, ast.Assign)
                        for target in statement.targets
                        if isinstance(target, ast.Name) and target.id in ("openapi_types", "attribute_map")
                    }
                    found[node.name] = tables["openapi_types"], tables["attribute_map"], needed
    return found
