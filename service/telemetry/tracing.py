"""Choice of the tracing that the settings ask for."""

from service.settings import Settings
from service.telemetry.spans import NoTracing, Tracing, TracingError


def load_tracing(settings: Settings) -> Tracing:
    """Return OpenTelemetry where the settings ask for tracing, else a receiver that keeps nothing.

    Raises:
        TracingError: OpenTelemetry is not installed, or its own variables ask for what is not
            there.
    """
    if not settings.tracing:
        return NoTracing()
    try:
        from service.telemetry.otel import OpenTelemetry

        return OpenTelemetry()
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise TracingError(
            "GUARD_TRACING is set and OpenTelemetry is not installed; pip install 'mutant-guard[otel]', or unset it"
        ) from error
    except ValueError as error:
        raise TracingError(f"OpenTelemetry does not start, mend its variables (OTEL_…): {error}") from error
