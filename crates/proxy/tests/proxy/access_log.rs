//! Calls as lines of the log.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use crate::world::*;

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn all(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap().clone();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["target"] == "access").map(|line| line["fields"].clone()).collect()
    }
}

/// What is logged of forty good calls, one that fails and one for nobody.
async fn logged(share: f64, per_second: u32) -> Vec<serde_json::Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
    // The tasks of a test run in its thread.
    let _logging = tracing::subscriber::set_default(subscriber);
    let world = World::with(|settings| {
        settings.access_log = traces::sampling::Ratio::new(share).unwrap();
        settings.limits.access_lines_per_second = per_second;
    })
    .await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..40 {
        assert_eq!(client.send(request("GET", "cart", "/items?token=secret", "")).await.status, 200);
    }
    backend.fail(true);
    client.send(request("POST", "cart", "/order", "")).await;
    assert_eq!(client.send(request("GET", "nowhere", "/", "")).await.status, 404);
    lines.all()
}

#[tokio::test]
async fn each_call_is_a_line_that_names_its_trace_and_keeps_the_query_to_itself() {
    let lines = logged(1.0, 1_000).await;
    assert_eq!(lines.len(), 42);
    let good = &lines[0];
    assert_eq!((&good["method"], &good["path"]), (&"GET".into(), &"/items".into()), "{good}");
    assert_eq!((&good["service"], &good["instance"]), (&"cart".into(), &"cart-0".into()), "{good}");
    assert_eq!((&good["status"], &good["outcome"]), (&200.into(), &"ok".into()), "{good}");
    assert_eq!(good["trace_id"].as_str().unwrap().len(), 32, "{good}");
    assert!(good["duration_ms"].as_f64().unwrap() > 0.0, "{good}");
    assert!(lines.iter().all(|line| !line.to_string().contains("secret")));
    assert_eq!((&lines[40]["status"], &lines[40]["outcome"]), (&500.into(), &"error".into()));
    assert_eq!(lines[41]["refused"], "no_route");
}

#[tokio::test]
async fn of_a_share_failures_are_all_there() {
    let lines = logged(0.25, 1_000).await;
    let good = lines.iter().filter(|line| line["outcome"] == "ok").count();
    assert!((1..30).contains(&good), "{good} of 40");
    assert!(lines.iter().any(|line| line["outcome"] == "error"));
    assert!(lines.iter().any(|line| line["refused"] == "no_route"));
}

#[tokio::test]
async fn without_a_share_there_is_nothing_and_what_is_too_much_is_a_number() {
    assert!(logged(0.0, 1_000).await.is_empty());
    let lines = logged(1.0, 5).await;
    assert!((5..42).contains(&lines.len()), "{}", lines.len());
    let told: u64 = lines.iter().filter_map(|line| line["lines_left_out"].as_u64()).sum();
    assert!(told <= 42 - lines.len() as u64, "{lines:?}");
}
