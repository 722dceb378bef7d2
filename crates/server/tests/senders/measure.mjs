// Sends a few metrics as the first argument says, to the address that is the second: cumulative, and then delta. The
// third is the folder that holds node_modules.

import { createRequire } from "node:module";

const [, , how, address, tools] = process.argv;
const require = createRequire(`${tools}/`);
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { AggregationTemporality, AggregationType, MeterProvider, PeriodicExportingMetricReader } = require(
  "@opentelemetry/sdk-metrics",
);
const [form, url] = {
  "node-grpc": ["grpc", `http://${address}`],
  "node-protobuf": ["proto", `http://${address}/v1/metrics`],
  "node-json": ["http", `http://${address}/v1/metrics`],
}[how];
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${form}`);

for (const name of ["cumulative", "delta"]) {
  const temporalityPreference = AggregationTemporality[name.toUpperCase()];
  const exporter = new OTLPMetricExporter({ url, temporalityPreference });
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const resource = resourceFromAttributes({ "service.name": how, "service.instance.id": name, "host.name": "a" });
  const views = [{ instrumentName: "size", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }];
  const provider = new MeterProvider({ resource, readers: [reader], views });
  const meter = provider.getMeter("sender", "1.2");
  const jobs = meter.createCounter("jobs", { unit: "{job}", description: "Jobs." });
  const level = meter.createUpDownCounter("level", { unit: "By" });
  const took = meter.createHistogram("took", { unit: "s", advice: { explicitBucketBoundaries: [0.1, 1, 10] } });
  const size = meter.createHistogram("size");
  meter.createGauge("heat", { unit: "Cel" }).record(21.5);
  for (let round = 0; round < 2; round++) {
    jobs.add(3, { "queue.name": "a" });
    level.add(-2);
    [0.05, 0.5, 5, 50].forEach((value) => took.record(value));
    [1.5, 3, 100].forEach((value) => size.record(value));
    await provider.forceFlush();
  }
  await provider.shutdown();
}
