// Sends one trace of two spans as the first argument says, to the address that is the second, and prints its id.

import { createRequire } from "node:module";

const [how, address, tools] = process.argv.slice(2);
const url = `http://${address}`;
const load = createRequire(`${tools}/package.json`);

async function opentelemetry(exporter) {
  const { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = load("@opentelemetry/api");
  const { resourceFromAttributes } = load("@opentelemetry/resources");
  const { BasicTracerProvider, BatchSpanProcessor } = load("@opentelemetry/sdk-trace-base");
  let failed;
  const watched = {
    export: (spans, done) => exporter.export(spans, (result) => { failed = result.error; done(result); }),
    shutdown: () => exporter.shutdown(),
  };
  const resource = resourceFromAttributes({ "service.name": how });
  const provider = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(watched)] });
  const tracer = provider.getTracer("sender", "1.2");
  const parent = tracer.startSpan("parent", { kind: SpanKind.SERVER }, ROOT_CONTEXT);
  // The language has one kind of number: a whole one is sent as such.
  parent.setAttributes({ double: 643.5, int: 643, text: "643", bool: true, list: [1.5, 2.5] });
  const child = tracer.startSpan("child", { kind: SpanKind.CLIENT }, trace.setSpan(ROOT_CONTEXT, parent));
  child.addEvent("cache miss", { key: "a" });
  child.setStatus({ code: SpanStatusCode.ERROR, message: "refused" });
  child.end();
  parent.end();
  await provider.forceFlush();
  await provider.shutdown();
  if (failed) throw failed;
  console.log(parent.spanContext().traceId);
}

async function zipkin() {
  const { Annotation, BatchRecorder, ExplicitContext, Tracer, jsonEncoder } = load("zipkin");
  const { HttpLogger } = load("zipkin-transport-http");
  const logger = new HttpLogger({
    endpoint: `${url}/api/v2/spans`,
    jsonEncoder: jsonEncoder.JSON_V2,
  });
  const tracer = new Tracer({
    ctxImpl: new ExplicitContext(),
    localServiceName: how,
    recorder: new BatchRecorder({ logger }),
    traceId128Bit: true,
  });
  const parent = tracer.createRootId();
  tracer.scoped(() => {
    tracer.setId(parent);
    tracer.recordServiceName(how);
    tracer.recordRpc("parent");
    tracer.recordAnnotation(new Annotation.ServerRecv());
    tracer.recordBinary("text", "643");
    tracer.letId(tracer.createChildId(), () => {
      tracer.recordServiceName(how);
      tracer.recordRpc("child");
      tracer.recordAnnotation(new Annotation.ClientSend());
      tracer.recordMessage("cache miss");
      tracer.recordBinary("error", "refused");
      tracer.recordAnnotation(new Annotation.ClientRecv());
    });
    tracer.setId(parent);
    tracer.recordAnnotation(new Annotation.ServerSend());
  });
  // Its timer keeps no process alive, so what waits is sent here.
  await new Promise((sent, failed) => {
    logger.on("success", sent);
    logger.on("error", failed);
    logger.processQueue(logger.fetchImplementation);
  });
  console.log(parent.traceId);
}

const exporter = (name, options) => {
  const { OTLPTraceExporter } = load(`@opentelemetry/exporter-trace-otlp-${name}`);
  return new OTLPTraceExporter(options);
};
const senders = {
  "node-grpc": () => opentelemetry(exporter("grpc", { url })),
  "node-protobuf": () => opentelemetry(exporter("proto", { url: `${url}/v1/traces` })),
  "node-json": () => opentelemetry(exporter("http", { url: `${url}/v1/traces` })),
  "node-zipkin": zipkin,
};
await senders[how]();
