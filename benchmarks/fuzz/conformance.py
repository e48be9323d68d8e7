"""Answers compared with the OpenAPI document, by requests that schemathesis makes of it.

https://schemathesis.readthedocs.io
"""

import base64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.engine import events, from_schema

from benchmarks.fuzz import seeds

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
PHASES = ("examples", "coverage", "fuzzing", "stateful")
# 504 counts as expected: a request may say itself how long it takes, even no time at all.
_NO_SERVER_ERRORS = {"expected-statuses": ["2xx", "3xx", "4xx", "504"]}
_SERVER_ERRORS = 500
_IMAGES = seeds.images()
_IMAGE = base64.b64encode(_IMAGES[0]).decode()
_FORMATS = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8",
    "image/webp": b"RIFF",
    "application/octet-stream": b"",
}
_DEADLINE = 504

for _kind, _start in _FORMATS.items():
    schemathesis.openapi.media_type(
        _kind,
        st.sampled_from([image for image in _IMAGES if image.startswith(_start)]) | st.binary(max_size=64),
    )


@dataclass
class Conformance:
    """Findings of a check against the document.

    Attributes:
        statuses: number of answers by operation and status, as in ``GET /v2 200``.
        server_errors: number of answers 500 and above, and of requests without one; deadlines (504)
            do not count.
        faults: answers against the document, each with a request that shows it, and what could not
            be asked.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    server_errors: int = 0
    faults: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: "Conformance") -> "Conformance":
        """Return both together."""
        return Conformance(
            self.statuses + other.statuses,
            self.server_errors + other.server_errors,
            self.faults | other.faults,
        )


def configured(
    examples: int,
    *,
    headers: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    phases: tuple[str, ...] = PHASES,
    seed: int = 1,
) -> SchemathesisConfig:
    """Return the configuration that a document is loaded with.

    Args:
        examples: most drawn requests of an operation, valid or not.
        headers: headers sent with every request.
        names: values of parameters in paths, instead of drawn ones.
        phases: names from ``PHASES``: the document's examples, values at every limit, drawn ones,
            and some after others.
        seed: seed of what is drawn.
    """
    checks: dict[str, Any] = {"enabled": False} | {name: {"enabled": True} for name in CHECKS}
    checks["not_a_server_error"] |= _NO_SERVER_ERRORS
    project = ProjectConfig(
        checks=ChecksConfig.from_dict(checks),
        generation=GenerationConfig(max_examples=examples, deterministic=True, database="none"),
        phases=PhasesConfig.from_dict({name: {"enabled": name in phases} for name in PHASES}),
        continue_on_failure=True,
        headers=dict(headers or {}),
        parameters={f"path.{name}": value for name, value in (names or {}).items()},
    )
    return SchemathesisConfig(seed=seed, projects=ProjectsConfig(default=project))


def check(document: schemathesis.BaseSchema) -> Conformance:
    """Make the requests that a document was loaded for, and compare the answers with it."""
    found = Conformance()
    document.hook("map_body")(_with_image)
    for event in from_schema(document).execute():
        if isinstance(event, events.ScenarioFinished):
            _note(found, event)
        elif isinstance(event, events.NonFatalError):
            found.faults[f"{event.label}: {event.info.format()}"] = ""
        elif isinstance(event, events.FatalError):
            raise event.exception
    return found


def _with_image(context: schemathesis.HookContext, body: Any) -> Any:
    """Replace inference requests that name no outputs by one with an image."""
    operation = context.operation
    if (
        operation is None
        or not operation.path.endswith("/infer")
        or not isinstance(body, dict)
        or "outputs" in body
    ):
        return body
    return {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [_IMAGE]}]}


def _note(found: Conformance, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    for number, interaction in recorder.interactions.items():
        case, response = recorder.cases[number].value, interaction.response
        status = 0 if response is None else response.status_code
        found.statuses[f"{case.operation.label} {status}"] += 1
        found.server_errors += status == 0 or (status >= _SERVER_ERRORS and status != _DEADLINE)
    for checks in recorder.checks.values():
        for failure in (one.failure_info for one in checks if one.failure_info is not None):
            fault = f"{recorder.label}: {failure.failure.title} {failure.failure.message}".strip()
            found.faults.setdefault(fault, failure.code_sample)
