// What to copy, made for this control plane and namespace. Names of tools and languages are the same everywhere.

export interface Recipe {
  name: string;
  text: string;
}

export function recipes(origin: string, namespace: string, open: boolean): Record<'register' | 'call' | 'trace', Recipe[]> {
  const bearer = open ? '' : ` \\\n  -H "authorization: Bearer $BELLWETHER_TOKEN"`;
  const host = namespace === 'default' ? 'hello' : `hello.${namespace}`;
  const path = `${origin}/bellwether/v1/namespaces/${encodeURIComponent(namespace)}/services/hello/instances/hello-1`;
  const attributes = namespace === 'default' ? '' : `export OTEL_RESOURCE_ATTRIBUTES=service.namespace=${namespace}\n`;
  const environment =
    `export OTEL_SERVICE_NAME=hello\n${attributes}` +
    `export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_EXPORTER_OTLP_ENDPOINT=${origin}` +
    (open ? '' : `\nexport OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20$BELLWETHER_TOKEN"`);
  const span = '{"traceId":"0af7651916cd43dd8448eb211c80319c","id":"b7ad6b7169203331","name":"hello","duration":1000,"localEndpoint":{"serviceName":"hello"}}';
  return {
    register: [
      {
        name: 'curl',
        text: `curl -X PUT ${path}${bearer} \\\n  -H 'content-type: application/json' \\\n  -d '{"address": "127.0.0.1", "port": 8080}'`,
      },
      {
        name: 'curl, with a heartbeat',
        text:
          `curl -X PUT ${path}${bearer} \\\n  -H 'content-type: application/json' \\\n  -d '{"address": "127.0.0.1", "port": 8080, "ttl": "15s"}'\n` +
          `curl -X POST ${path}/heartbeat${bearer}`,
      },
    ],
    call: [{ name: 'curl', text: `curl -H 'Host: ${host}' http://127.0.0.1:8000/` }],
    trace: [
      { name: 'OpenTelemetry (OTLP)', text: environment },
      { name: 'Java', text: 'java -javaagent:opentelemetry-javaagent.jar -jar hello.jar' },
      { name: 'Python', text: 'pip install opentelemetry-distro opentelemetry-exporter-otlp\nopentelemetry-bootstrap -a install\nopentelemetry-instrument python hello.py' },
      { name: 'Node.js', text: 'npm install @opentelemetry/auto-instrumentations-node\nnode --require @opentelemetry/auto-instrumentations-node/register hello.js' },
      { name: 'Zipkin', text: `curl -X POST ${origin}/api/v2/spans${bearer} \\\n  -H 'content-type: application/json' \\\n  -d '[${span}]'` },
    ],
  };
}
