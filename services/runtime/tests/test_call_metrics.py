"""Calls are counted by method and code; streams have no duration."""

from prometheus_client import CollectorRegistry

from services.runtime.call_metrics import CallFigures


def test_calls_are_counted_when_they_end_and_open_until_then() -> None:
    """A stream that is open is seen as open, and not as ended."""
    figures = CallFigures()
    registry = CollectorRegistry()
    registry.register(figures)
    single, stream = "/x.Service/Get", "/x.Service/Watch"
    began = figures.begun(single)
    figures.begun(stream)
    figures.ended(single, "OK", began, streaming=False)
    ok = {"method": single, "code": "OK"}
    assert registry.get_sample_value("grpc_calls_total", ok) == 1
    assert registry.get_sample_value("grpc_open_calls", {"method": single}) == 0
    assert registry.get_sample_value("grpc_open_calls", {"method": stream}) == 1
    assert registry.get_sample_value("grpc_call_seconds_count", {"method": single}) == 1
    figures.ended(stream, "CANCELLED", began, streaming=True)
    assert registry.get_sample_value("grpc_call_seconds_count", {"method": stream}) is None
