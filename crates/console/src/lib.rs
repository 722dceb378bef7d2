//! The web console, as bytes: what `web/` was built into, embedded at compile time.
//!
//! No I/O, no sockets, no knowledge of HTTP beyond the names of its headers: a server asks for a path and writes what
//! it gets. `dist/` is committed, so that building the workspace needs no Node; a test of the workspace builds `web/`
//! anew and compares.
//!
//! The console routes in the browser (`/traces/…` is a view, not a file), so every path that names no file is
//! answered with the index page. A path that does name a file (its last segment has a dot, or it lies below
//! `/assets/`) and is not there is not there: an index page in place of a script would only hide the mistake.
//!
//! ```
//! let index = console::asset("/").expect("the index page is always embedded");
//! assert_eq!(index.content_type, "text/html; charset=utf-8");
//! assert!(std::ptr::eq(index, console::asset("/traces/0af7651916cd43dd8448eb211c80319c").expect("a view")));
//! assert!(console::asset("/assets/gone.js").is_none());
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::LazyLock;

use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;

#[cfg(test)]
mod tests;

/// What every answer with an asset must carry. The policy allows the console's own files and its own API, nothing
/// inline and nothing foreign: a name out of somebody's telemetry that found its way into the page as markup would
/// still run no script.
pub const SECURITY_HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The files keep their names from one version to the next, so a browser must ask each time; the entity tag makes
/// that a 304.
pub const CACHE_CONTROL: &str = "no-cache";

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    /// The file.
    pub bytes: Cow<'static, [u8]>,
    /// The file compressed with gzip (send it with `Vary: Accept-Encoding`); absent where that would not be smaller.
    pub gzip: Option<Vec<u8>>,
    /// Value of `Content-Type`.
    pub content_type: &'static str,
    /// Value of `ETag`: weak, because it names the file in either encoding.
    pub etag: String,
}

#[derive(RustEmbed)]
#[folder = "dist/"]
struct Dist;

const INDEX: &str = "index.html";
const ASSETS: &str = "assets/";

/// Compressed once, when the console is first asked for: about ten milliseconds, and some 50 kB that stay.
static FILES: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| {
    Dist::iter().filter_map(|name| Some((name.to_string(), embed(&name, Dist::get(&name)?)))).collect()
});

/// The file for a request's path (without query; the leading slash may be there or not), or the index page for a
/// path that names a view. `None` means 404.
///
/// Whoever mounts the console asks their own API first: a path of the API that does not exist is no view either.
pub fn asset(path: &str) -> Option<&'static Asset> {
    let name = path.strip_prefix('/').unwrap_or(path);
    if let Some(file) = FILES.get(name) {
        return Some(file);
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    let names_file = last.contains('.') || name.starts_with(ASSETS);
    if names_file { None } else { FILES.get(INDEX) }
}

fn embed(name: &str, file: rust_embed::EmbeddedFile) -> Asset {
    let hash = file.metadata.sha256_hash();
    let tag: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let gzip = gzip(&file.data).filter(|compressed| compressed.len() < file.data.len());
    Asset { gzip, bytes: file.data, content_type: content_type(name), etag: format!("W/\"{tag}\"") }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Only what the build makes; anything else is bytes, which `nosniff` keeps a browser from running.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
