"""Sends one trace of two spans as the first argument says, to the address that is the second, and prints its id."""

import sys
import urllib.request

how, address = sys.argv[1:]
url = f"http://{address}"


def opentelemetry(exporter):
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": how}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("sender", "1.2")
    with tracer.start_as_current_span("parent", kind=trace.SpanKind.SERVER) as parent:
        parent.set_attributes({"double": 643.0, "int": 643, "text": "643", "bool": True, "list": [1.0, 2.5]})
        with tracer.start_as_current_span("child", kind=trace.SpanKind.CLIENT) as child:
            child.add_event("cache miss", {"key": "a"})
            child.set_status(trace.Status(trace.StatusCode.ERROR, "refused"))
    if not provider.force_flush():
        sys.exit("the spans were not taken")
    provider.shutdown()
    print(f"{parent.get_span_context().trace_id:032x}")


def zipkin():
    from py_zipkin import Encoding
    from py_zipkin.transport import BaseTransportHandler
    from py_zipkin.zipkin import zipkin_client_span, zipkin_server_span

    class Transport(BaseTransportHandler):
        def get_max_payload_bytes(self):
            return None

        def send(self, payload):
            body = payload if isinstance(payload, bytes) else payload.encode()
            head = {"content-type": "application/json"}
            request = urllib.request.Request(f"{url}/api/v2/spans", body, head)
            with urllib.request.urlopen(request) as answer:
                if answer.status != 202:
                    sys.exit(f"answered {answer.status}")

    with zipkin_server_span(
        service_name=how,
        span_name="parent",
        transport_handler=Transport(),
        sample_rate=100.0,
        use_128bit_trace_id=True,
        encoding=Encoding.V2_JSON,
    ) as parent:
        parent.update_binary_annotations({"text": "643"})
        with zipkin_client_span(service_name=how, span_name="child") as child:
            child.add_annotation("cache miss")
            child.update_binary_annotations({"error": "refused"})
        trace_id = parent.zipkin_attrs.trace_id
    print(trace_id)


if how == "python-grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    opentelemetry(OTLPSpanExporter(endpoint=address, insecure=True, compression=Compression.Gzip))
elif how == "python-http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    opentelemetry(OTLPSpanExporter(endpoint=f"{url}/v1/traces", compression=Compression.Gzip))
else:
    zipkin()
