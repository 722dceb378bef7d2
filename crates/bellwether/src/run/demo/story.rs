//! The story: all that the demo can show, one after the other, with a word on what to look at.
//!
//! It acts as a viewer does, through the public API, and waits for what it announces before it goes on: a
//! breaker that does not open is no story, and is said to be missing. What must not happen, a call that fails
//! while the control plane is away or while a service is replaced, is counted and told.

use std::{io, time::Duration};

use http::Method;
use serde_json::{Value as Json, json};
use tokio::time::{sleep, timeout};

use super::control::Control;
use crate::output;

/// Into how many looks the story's time is divided.
const LOOKS: u32 = 9;

/// How long something that was announced may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked whether it has come.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long calls that began before may take to be counted.
const SETTLING: Duration = Duration::from_millis(500);

/// Whoever tells it, and what it is told of.
pub(super) struct Story<'a> {
    control: &'a mut Control,
    load: &'a demo::Load,
    /// How long there is to look.
    look: Duration,
}

impl<'a> Story<'a> {
    /// A story that takes about so long.
    pub(super) fn new(control: &'a mut Control, load: &'a demo::Load, time: Duration) -> Self {
        Self { control, load, look: time / LOOKS }
    }

    /// Tells it, and says what came of it.
    pub(super) async fn tell(mut self) -> Result<Json, String> {
        self.say("The shop is well. Look at the map: six services, and the calls between them.").await;
        self.payments().await?;
        self.crash().await?;
        let rolled = self.release().await?;
        let away = self.control_plane().await?;
        let demo::Sales { shown, paid, queued, failed, turned_away } = self.load.sales();
        output::tell(&format!(
            "That was the story. Customers saw {shown} pages, {paid} orders were paid and {queued} queued, \
             {failed} visits failed. Events has all of it. Ctrl-C stops everything."
        ));
        Ok(json!({
            "story": "told",
            "sales": { "shown": shown, "paid": paid, "queued": queued, "failed": failed, "turned_away": turned_away },
            "failed_during_roll": rolled,
            "failed_without_control_plane": away,
        }))
    }

    async fn payments(&mut self) -> Result<(), String> {
        self.act(json!({ "action": "break", "service": "payments", "latency": "2s" })).await?;
        output::tell("Payments answer two seconds late from now on. Look at the edge from checkout.");
        self.until("the breaker of payments is open", async |story| {
            story.breaker().await == Some("open".into())
        })
        .await?;
        self.say(
            "The breaker is open: payments are not asked any more, so nobody waits for them. Orders are \
             queued, and said to be queued. The event of the opening names the calls that caused it.",
        )
        .await;
        self.act(json!({ "action": "heal" })).await?;
        self.until("the breaker of payments is closed", async |story| {
            story.breaker().await == Some("closed".into())
        })
        .await?;
        self.say("Payments are healed. The breaker let a few calls try, and closed by itself.").await;
        Ok(())
    }

    async fn crash(&mut self) -> Result<(), String> {
        self.act(json!({ "action": "kill", "service": "inventory", "instance": "inventory-2" })).await?;
        self.until("inventory-2 is down", async |story| {
            story
                .instances("inventory")
                .await
                .iter()
                .any(|of| of["id"] == "inventory-2" && of["status"] == "down")
        })
        .await?;
        self.say(
            "inventory-2 was killed. Its lease has lapsed; calls that hit it were tried again elsewhere.",
        )
        .await;
        self.act(json!({ "action": "heal" })).await?;
        self.until("inventory-2 is back", async |story| {
            story.instances("inventory").await.iter().all(|of| of["status"] == "up")
        })
        .await
    }

    /// How many visits failed while the service was replaced by one that is sound.
    async fn release(&mut self) -> Result<u64, String> {
        self.act(json!({ "action": "release", "service": "inventory", "version": "1.5.0" })).await?;
        self.until("inventory 1.5.0 is out", async |story| story.are_all("inventory", "1.5.0").await).await?;
        self.say(
            "inventory 1.5.0 is out, and fails a tenth of its calls. Retries hide most of it; traces do not.",
        )
        .await;
        self.act(json!({ "action": "heal" })).await?;
        sleep(SETTLING).await;
        let before = self.load.sales().failed;
        self.until("inventory 1.4.0 is back", async |story| story.are_all("inventory", "1.4.0").await)
            .await?;
        sleep(SETTLING).await;
        let failed = self.load.sales().failed - before;
        self.say(&format!(
            "inventory is rolled back, instance by instance. Visits that failed meanwhile: {failed}."
        ))
        .await;
        Ok(failed)
    }

    /// How many visits failed while there was no control plane.
    async fn control_plane(&mut self) -> Result<u64, String> {
        let before = self.load.sales();
        self.control.kill().await;
        self.say(
            "The control plane was killed with -9. The gateway goes on by what it knows; the console waits.",
        )
        .await;
        let load = self.load;
        self.until("customers are served without it", async |_| load.sales().calls() > before.calls() + 5)
            .await?;
        self.control.again().await.map_err(|problem| problem.to_string())?;
        let failed = self.load.sales().failed - before.failed;
        self.until("it knows the shop again", async |story| story.are_all("inventory", "1.4.0").await)
            .await?;
        self.say(&format!(
            "It is back, with all that it had acknowledged. Visits that failed meanwhile: {failed}."
        ))
        .await;
        Ok(failed)
    }

    /// Says something, and leaves time to look.
    async fn say(&self, words: &str) {
        output::tell(words);
        sleep(self.look).await;
    }

    async fn act(&self, act: Json) -> Result<(), String> {
        let path = "/bellwether/v1/namespaces/default/demo";
        match demo::ask(self.control.address(), Method::POST, path, &act).await {
            Ok((status, _)) if status.is_success() => Ok(()),
            Ok((status, why)) => Err(format!("{act} was refused: {status}: {why}")),
            Err(error) => Err(format!("{act} cannot be done: {error}")),
        }
    }

    async fn until(&self, what: &str, mut is_there: impl AsyncFnMut(&Self) -> bool) -> Result<(), String> {
        let come = async {
            while !is_there(self).await {
                sleep(INTERVAL).await;
            }
        };
        timeout(PATIENCE, come).await.map_err(|_| format!("waited in vain until {what}"))
    }

    async fn breaker(&self) -> Option<String> {
        let page = self.read("/bellwether/v1/breakers?service=payments").await.ok()?;
        page["breakers"].as_array()?.first()?["state"].as_str().map(str::to_owned)
    }

    async fn instances(&self, service: &str) -> Vec<Json> {
        let path = format!("/bellwether/v1/namespaces/default/services/{service}");
        let page = self.read(&path).await.unwrap_or_default();
        page["instances"].as_array().cloned().unwrap_or_default()
    }

    async fn are_all(&self, service: &str, version: &str) -> bool {
        let instances = self.instances(service).await;
        instances.len() > 1 && instances.iter().all(|of| of["version"] == version && of["status"] == "up")
    }

    async fn read(&self, path: &str) -> io::Result<Json> {
        Ok(demo::ask(self.control.address(), Method::GET, path, &Json::Null).await?.1)
    }
}
