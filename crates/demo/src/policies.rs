//! The shop's policies: documents as anybody writes them, applied through the public API.

use std::{io, net::SocketAddr};

use http::{HeaderValue, Method, StatusCode, header};

use crate::call::Call;

/// Name and text of each.
const POLICIES: [(&str, &str); 3] = [
    ("payments", include_str!("../policies/payments.yaml")),
    ("inventory", include_str!("../policies/inventory.yaml")),
    ("recommendations", include_str!("../policies/recommendations.yaml")),
];

/// Why they are there, as the history tells it.
const REASON: &str = "reason=the%20demo%27s%20shop";

/// Applies those that are not there. One that is there stays: in a folder that is used again, the viewer may
/// have changed it.
///
/// # Errors
/// What the control plane said against one of them.
pub async fn apply(control: SocketAddr) -> io::Result<()> {
    let host = control.to_string();
    for (name, text) in POLICIES {
        let path = format!("/bellwether/v1/namespaces/default/policies/{name}");
        if Call::get(control, &host, &path).make().await?.status() == StatusCode::OK {
            continue;
        }
        let path = format!("{path}?{REASON}");
        let mut call =
            Call { method: Method::PUT, body: text.to_owned(), ..Call::get(control, &host, &path) };
        call.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
        let answer = call.make().await?;
        if !answer.status().is_success() {
            let why = String::from_utf8_lossy(answer.body());
            return Err(io::Error::other(format!("the policy {name} was refused: {why}")));
        }
    }
    Ok(())
}
