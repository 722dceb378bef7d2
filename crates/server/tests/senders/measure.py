"""Sends a few metrics as the first argument says, to the address that is the second: cumulative, and then delta."""

import sys

from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

how, address = sys.argv[1:]
if how.endswith("grpc"):
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    options = {"endpoint": f"http://{address}", "insecure": True}
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    options = {"endpoint": f"http://{address}/v1/metrics"}

for temporality in (AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA):
    name = temporality.name.lower()
    preferred = {Counter: temporality, Histogram: temporality}
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(preferred_temporality=preferred, **options), export_interval_millis=3_600_000
    )
    identity = {"service.name": how, "service.instance.id": name, "host.name": "a"}
    views = [View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], resource=Resource.create(identity), views=views)
    meter = provider.get_meter("sender", "1.2")
    jobs = meter.create_counter("jobs", unit="{job}", description="Jobs.")
    level = meter.create_up_down_counter("level", unit="By")
    took = meter.create_histogram("took", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1, 10])
    size = meter.create_histogram("size")
    meter.create_gauge("heat", unit="Cel").set(21.5)
    for _ in range(2):
        jobs.add(3, {"queue.name": "a"})
        level.add(-2)
        for value in (0.05, 0.5, 5, 50):
            took.record(value)
        for value in (1.5, 3, 100):
            size.record(value)
        if not provider.force_flush():
            sys.exit("the metrics were not taken")
    provider.shutdown()
