//! Requests that others publish to check parsers with: what a strict parser refuses is refused here, or
//! passed on as something that can be read in one way only.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::*;

/// A published case.
struct Case {
    name: String,
    bytes: Vec<u8>,
    /// Messages that a strict parser reads to their end.
    whole: usize,
    /// Why it refuses the next one.
    refused: Option<String>,
}

/// Where we differ from the strict parser, and why that is right here.
///
/// What is passed on is written anew: with CR LF, one length, and chunks of our own.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "request-content-length: Content-Length reset when no body is received",
        "the case leaves the bodies out",
    ),
    ("request-invalid: HTTP protocol and ANNOUNCE method", METHOD),
    ("request-invalid: Invalid method", METHOD),
    ("request-invalid: Headers separated by LF", LF),
    ("request-invalid: Empty headers separated by LF", LF),
    ("request-invalid: Missing CR between headers", LF),
    ("request-method: CONNECT request", CONNECT),
    ("request-method: CONNECT request with CAPS", CONNECT),
    ("request-method: CONNECT with body", CONNECT),
    ("request-uri: Underscore in hostname", CONNECT),
    ("request-method: SOURCE request with ICE", PROTOCOL),
    ("request-method: OPTIONS request with RTSP", PROTOCOL),
    ("request-method: PRI request HTTP2", PROTOCOL),
    ("request-method: ANNOUNCE request with RTSP", PROTOCOL),
    ("request-transfer-encoding: No extension after semicolon", EXTENSION),
    ("request-transfer-encoding: Unbalanced chunk extensions quoting", EXTENSION),
    (
        "request-transfer-encoding: Space after chunk header",
        "white space there is allowed (RFC 9112, section 7.1.1)",
    ),
    ("request-transfer-encoding: POST with `chunked` as last transfer-encoding", CODING),
    ("request-transfer-encoding: POST with `chunked` as last transfer-encoding (multiple headers)", CODING),
    ("request-uri: Quotes in URI", "no target has quotes (RFC 3986)"),
];
const METHOD: &str = "there may be other methods than the registered ones (RFC 9110, section 9.1)";
const LF: &str = "a recipient may take a single LF for a line's end (RFC 9112, section 2.2)";
const CONNECT: &str = "it asks for a tunnel, which is not offered";
const PROTOCOL: &str = "only HTTP/1 is spoken here";
const EXTENSION: &str = "extensions of chunks are not read, and end here (RFC 9112, section 7.1.1)";
const CODING: &str = "what is compressed for the way cannot be passed on, and is refused with 501";

/// The cases of a file: a heading, the kind of parser, a message, and the parser's log.
fn cases(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap();
    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
    let mut cases = Vec::new();
    let sections = text.split("\n#").filter_map(|section| section.split_once('\n'));
    for (title, part) in sections.flat_map(|(title, rest)| {
        let title = title.trim_start_matches('#').trim();
        rest.split("<!-- meta=").skip(1).map(move |part| (title, part))
    }) {
        // The lenient kinds are switches that a parser may have. Ours has none.
        if !part.lines().next().unwrap().contains(r#""request""#) {
            continue;
        }
        let block = |kind: &str| {
            let (_, rest) = part.split_once(&format!("```{kind}\n")).unwrap();
            rest.split_once("\n```").unwrap().0
        };
        let log = block("log");
        // Pauses are no refusals, but questions what comes next.
        let error = log
            .lines()
            .find_map(|line| line.split_once("reason="))
            .map(|(_, reason)| reason.trim_matches('"'));
        let refused = error.filter(|reason| !reason.starts_with("Pause")).map(str::to_owned);
        cases.push(Case {
            name: format!("{stem}: {title}"),
            bytes: message(block("http")),
            whole: log.matches("message complete").count(),
            refused,
        });
    }
    cases
}

/// The message that a block writes down: its lines end with CR LF, and escapes mean bytes.
fn message(block: &str) -> Vec<u8> {
    let text = block.replace("\\\n", "").replace('\n', "\r\n");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escape = if *byte == b'\\' { after.first() } else { None };
        let (value, length) = match escape {
            Some(b'r') => (b'\r', 2),
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(b'f') => (0x0c, 2),
            Some(b'x') => {
                let digits = std::str::from_utf8(&rest[2..4]).unwrap();
                (u8::from_str_radix(digits, 16).unwrap(), 4)
            }
            _ => (*byte, 1),
        };
        bytes.push(value);
        rest = &rest[length..];
    }
    bytes
}

/// The message with `host` in every head, instead of the host that it names, and with the end of its
/// head: a strict parser may refuse it before.
fn addressed(bytes: &[u8], host: &str) -> Vec<u8> {
    let mut addressed = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        if text.to_ascii_lowercase().starts_with("host:") && text.ends_with("\r\n") {
            continue;
        }
        match text.split_once("hypnotoad.org") {
            Some((before, after)) => addressed.extend_from_slice(format!("{before}{host}{after}").as_bytes()),
            None => addressed.extend_from_slice(line),
        }
        if text.ends_with("\r\n") && text.contains(" HTTP/") {
            addressed.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
    }
    if !addressed.windows(4).any(|four| four == b"\r\n\r\n") {
        addressed.extend_from_slice(b"\r\n");
    }
    addressed
}

/// What came of a case: messages that arrived whole at the endpoint, and the statuses of the answers.
async fn outcome(world: &World, number: usize, case: &Case) -> (usize, Vec<u16>) {
    let whole = Arc::new(AtomicUsize::new(0));
    let count = whole.clone();
    let backend = Backend::new(move |request| {
        let count = count.clone();
        async move {
            match request.into_body().collect().await {
                Ok(_) => reply(200, count.fetch_add(1, SeqCst).to_string()),
                Err(_) => reply(500, ""),
            }
        }
    })
    .await;
    let host = format!("case-{number}");
    world.up(&host, &[backend.address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(&addressed(&case.bytes, &host)).await.unwrap();
    let mut answer = Vec::new();
    soon(&case.name, stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = |part: &str| part.get(..3)?.parse().ok();
    let statuses = answer.split("HTTP/1.").skip(1).filter_map(|part| status(part.get(2..)?)).collect();
    (whole.load(SeqCst), statuses)
}

#[tokio::test]
async fn published_requests_are_read_as_a_strict_parser_reads_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/http1");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: published requests because ../shared/vectors/http1 is not here");
        return;
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("request-"));
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|file| cases(file)).collect();
    assert!(cases.len() > 50, "{} cases are too few to be all", cases.len());
    let world = World::with(|settings| {
        settings.limits.head_timeout = Duration::from_millis(300);
        settings.limits.client_idle = Duration::from_millis(300);
        settings.policy = policy(|parts| parts.timeouts.idle = Duration::from_millis(300));
    })
    .await;
    let outcomes = cases.iter().enumerate().map(|(number, case)| outcome(&world, number, case));
    let outcomes = join_all(outcomes).await;
    for (case, (whole, statuses)) in cases.iter().zip(outcomes) {
        let refused = statuses.last().is_some_and(|status| matches!(status, 400 | 405 | 501));
        let same = whole == case.whole && refused == case.refused.is_some();
        let different = DIFFERENT.iter().any(|(name, _)| *name == case.name);
        assert!(
            same != different,
            "{}: {:?} after {} messages, here {whole} and {statuses:?}: {}",
            case.name,
            case.refused,
            case.whole,
            case.bytes.escape_ascii()
        );
    }
}
