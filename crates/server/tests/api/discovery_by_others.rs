//! Following services with the client that the gRPC project ships for Python, from the definitions alone.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use http::Method;
use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

/// Compiles the definitions, follows `hello`, tells of each answer in a line of JSON and acknowledges it.
const CLIENT: &str = r#"
import json, queue, sys
address, definitions = sys.argv[1:]
sys.path.insert(0, definitions)
import grpc
messages, services = grpc.protos_and_services("bellwether/v1/discovery.proto")
says = queue.Queue()
says.put(messages.DiscoveryRequest(subscribe=messages.Subscribe(subscriber="snake", services=["hello"])))
with grpc.insecure_channel(address) as channel:
    for answer in services.DiscoveryStub(channel).Watch(iter(says.get, None)):
        told = {"event": answer.WhichOneof("event"), "revision": answer.revision}
        if told["event"] == "changes":
            told["changes"] = [[c.action, c.instance_id, c.instance.status] for c in answer.changes.changes]
        else:
            listed = getattr(answer, told["event"]).services
            told["instances"] = [[i.id, i.address, i.port, dict(i.metadata)] for s in listed for i in s.instances]
        print(json.dumps(told), flush=True)
        ack = messages.DiscoveryRequest()
        ack.ack.revision = answer.revision
        says.put(ack)
"#;

/// A program that ends with the test.
struct Client {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    /// A client that follows; or why there is none.
    fn start(server: &Server) -> Result<Self, String> {
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/grpc-tools");
        let python = || {
            let mut python = Command::new("python3");
            python.env("PYTHONPATH", &tools).stdin(Stdio::null()).stderr(Stdio::null());
            python
        };
        let probe = python().args(["-c", "import grpc, grpc_tools"]).status();
        if !probe.map_err(|error| format!("python3 cannot be run: {error}"))?.success() {
            return Err("grpcio-tools is not installed; cargo xtask test installs it".to_owned());
        }
        let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("wire/proto");
        let mut client = python();
        client.arg("-c").arg(CLIENT).arg(server.local_addr().to_string()).arg(definitions);
        client.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = client.spawn().map_err(|error| error.to_string())?;
        let answers = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, answers })
    }

    fn answer(&mut self) -> Json {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_others_follows_and_its_acknowledgements_count() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = r#"{"address":"10.0.0.7","port":80,"metadata":{"k":"v"}}"#;
    ask(&server, Method::PUT, HELLO_1, body).await;
    let mut client = match Client::start(&server) {
        Ok(client) => client,
        Err(why) => {
            println!("skipped: a_client_of_others_follows_and_its_acknowledgements_count because {why}");
            return;
        }
    };
    let expected = json!({"event":"snapshot","revision":1,"instances":[["hello-1","10.0.0.7",80,{"k":"v"}]]});
    assert_eq!(client.answer(), expected);
    ask(&server, Method::PUT, &format!("{HELLO}/instances/hello-2"), body).await;
    let expected = json!({"event":"changes","revision":2,"changes":[["registered","hello-2","up"]]});
    assert_eq!(client.answer(), expected);
    let receipt = until("the client has acknowledged the drain", async || {
        let drain = format!("{HELLO_1}/drain");
        let (_, receipt) = ask(&server, Method::POST, &drain, r#"{"timeout":"0"}"#).await;
        (receipt["subscribers"][0]["state"] == "acked").then_some(receipt)
    });
    let receipt = receipt.await;
    assert!(receipt["subscribers"][0]["subscriber"].as_str().unwrap().starts_with("snake "), "{receipt}");
    assert_eq!(client.answer()["changes"], json!([["draining", "hello-1", "draining"]]));
}
