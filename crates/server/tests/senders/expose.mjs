// Exposes metrics with prom-client on a free port, which it prints, until its standard input ends. The argument is the
// folder that holds node_modules; the second one says whether to write OpenMetrics.

import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const client = require("prom-client");
const registry = new client.Registry();
if (process.argv[3] === "openmetrics") registry.setContentType(client.openMetricsContentType);
client.collectDefaultMetrics({ register: registry });
const registers = [registry];
const jobs = new client.Counter({ name: "jobs_total", help: "Jobs.", labelNames: ["queue"], registers });
jobs.inc({ queue: 'a "b"\n\\c' }, 7);
new client.Gauge({ name: "level", help: "A level.", registers }).set(-2.5);
const took = new client.Histogram({
  name: "took_seconds", help: "How long it took.", labelNames: ["route"], buckets: [0.1, 1, 10], registers,
});
for (const value of [0.05, 0.5, 5, 50]) took.observe({ route: "/" }, value);
new client.Summary({ name: "size_bytes", help: "A size.", registers }).observe(3);
const server = createServer(async (_, response) => {
  response.setHeader("content-type", registry.contentType);
  response.end(await registry.metrics());
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
