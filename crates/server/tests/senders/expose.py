"""Exposes metrics with prometheus_client on a free port, which it prints, until its standard input ends."""

import sys

from prometheus_client import Counter, Enum, Gauge, Histogram, Info, Summary, start_http_server

Counter("jobs", "Jobs.", ["queue"]).labels("a \"b\"\n\\c").inc(7, exemplar={"trace_id": "abc"})
Gauge("level", "A level.").set(-2.5)
histogram = Histogram("took_seconds", "How long it took.", ["route"], buckets=(0.1, 1, 10))
for value in (0.05, 0.5, 5, 50):
    histogram.labels("/").observe(value, exemplar={"trace_id": "abc"})
Summary("size_bytes", "A size.").observe(3)
Info("build", "What it is.").info({"version": "1"})
Enum("state", "How it is.", states=["on", "off"]).state("on")
server = start_http_server(0, "127.0.0.1")[0]
print(server.server_port, flush=True)
sys.stdin.read()
