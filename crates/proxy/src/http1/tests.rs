//! Messages that were changed at random, read by us and by another implementation.
//!
//! Two things must hold whatever comes: what we take for a request is what another server takes for one, and
//! what we write of it is read by another server as exactly that. Where we refuse more, nothing can be
//! smuggled; where we would take more, or something else, it could be.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

#[path = "../../tests/proxy/changed.rs"]
mod changed;

use changed::changed;

use super::{
    framing::{Framing, Piece, Reader},
    head::{self, Bounds, RequestHead},
};
use crate::{outbound::Outbound, policy::Policy};

const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 100 };

/// A request as somebody has understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Understood {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// What we make of these bytes: the requests that are whole, what we would write of them, and whether all
/// of the bytes were understood.
fn ours(bytes: &[u8]) -> (Vec<Understood>, BytesMut, bool) {
    let (mut unread, mut written, mut understood) = (BytesMut::from(bytes), BytesMut::new(), Vec::new());
    while let Ok(Some(head)) = head::request(&mut unread, BOUNDS) {
        let (keep_alive, framing, coded) = (head.keep_alive, head.framing, head.is_coded);
        let method = head.parts.method.to_string();
        let target = head.parts.uri.to_string();
        let Some(body) = body(&mut unread, framing) else { return (understood, written, false) };
        if coded {
            return (understood, written, false);
        }
        written.extend_from_slice(&rewritten(head, &body));
        understood.push(Understood { method, target, body });
        if !keep_alive {
            return (understood, written, true);
        }
    }
    (understood, written, unread.is_empty())
}

fn body(unread: &mut BytesMut, framing: Framing) -> Option<Vec<u8>> {
    let (mut reader, mut body) = (Reader::new(framing, BOUNDS.bytes), Vec::new());
    loop {
        match reader.next(unread).ok()? {
            Piece::Data(count) => body.extend_from_slice(&unread.split_to(count)),
            Piece::Trailers(_) | Piece::End => return Some(body),
            Piece::Wanting => return None,
        }
    }
}

/// The request as it goes on.
fn rewritten(head: RequestHead, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let (framing, policy) = (head.framing, Policy::new(0, resilience::CallPolicy::default()));
    let Ok(mut outbound) = Outbound::new(Box::new(head), &policy) else { return out };
    outbound.write(&mut out);
    match framing {
        Framing::Chunked => {
            // In two chunks, as it may come.
            let (first, second) = body.split_at(body.len() / 2);
            super::encode::piece(&mut out, first, true);
            super::encode::piece(&mut out, second, true);
            super::encode::end(&mut out, None, true);
        }
        _ => out.extend_from_slice(body),
    }
    out
}

/// What hyper makes of these bytes, and whether it had nothing to complain about.
async fn hypers(bytes: &[u8]) -> (Vec<Understood>, bool) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let store = seen.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let store = store.clone();
        async move {
            let (parts, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                store.lock().unwrap().push(Understood {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    body: body.to_bytes().to_vec(),
                });
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let (mut client, server) = tokio::io::duplex(bytes.len() + (64 << 10));
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true);
    let served = builder.serve_connection(TokioIo::new(server), service).await;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, served.is_ok())
}

/// So many changed messages are read with every run of the tests.
const CASES: u64 = 20_000;

#[tokio::test]
async fn what_we_take_for_a_request_another_server_takes_for_the_same() {
    let (mut both, mut whole) = (0, 0);
    for seed in 0..CASES {
        let bytes = changed(&mut Rng::with_seed(seed));
        let (ours, _, _) = ours(&bytes);
        let (hypers, _) = hypers(&bytes).await;
        assert!(
            hypers.starts_with(&ours),
            "case {seed}: {}\nwe take {ours:?}\nhyper takes {hypers:?}",
            bytes.escape_ascii()
        );
        both += usize::from(!ours.is_empty());
        whole += usize::from(ours == hypers);
    }
    // Refusing everything would be no art.
    assert!(both > CASES as usize / 4 && whole > CASES as usize * 9 / 10, "{both} taken, {whole} alike");
}

#[tokio::test]
async fn what_goes_on_is_read_as_what_came() {
    for seed in 0..CASES {
        let bytes = changed(&mut Rng::with_seed(seed));
        let (ours, written, _) = ours(&bytes);
        let (read, fine) = hypers(&written).await;
        let bodies = |all: &[Understood]| all.iter().map(|one| one.body.clone()).collect::<Vec<_>>();
        let refused = |one: &Understood| one.method == "CONNECT";
        if ours.iter().any(refused) {
            continue;
        }
        assert!(fine, "case {seed}: {} became {}", bytes.escape_ascii(), written.escape_ascii());
        assert_eq!(bodies(&read), bodies(&ours), "case {seed}: {}", written.escape_ascii());
    }
}

#[test]
fn how_a_message_is_cut_into_reads_changes_nothing() {
    for seed in 0..CASES {
        let mut random = Rng::with_seed(seed);
        let bytes = changed(&mut random);
        let (mut at_once, mut in_parts) = (BytesMut::from(&*bytes), BytesMut::new());
        let whole = head::request(&mut at_once, BOUNDS);
        let mut left = &bytes[..];
        let (mut looked_at, mut head) = (0, Ok(None));
        while let (Ok(None), false) = (&head, left.is_empty()) {
            let (part, rest) = left.split_at(random.usize(1..=left.len().min(9)));
            in_parts.extend_from_slice(part);
            left = rest;
            if looked_at == 0 || head::may_end(&in_parts, looked_at) {
                head = head::request(&mut in_parts, BOUNDS);
            }
            looked_at = in_parts.len();
        }
        let text = |head: &Result<Option<RequestHead>, _>| match head {
            Ok(Some(head)) => format!("{:?} {:?}", head.parts, head.framing),
            Ok(None) => "incomplete".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        // What is refused may be refused later in parts, or not before its end.
        if let (Ok(Some(whole)), Ok(Some(head))) = (&whole, &head) {
            in_parts.extend_from_slice(left);
            assert_eq!(body(&mut at_once, whole.framing), body(&mut in_parts, head.framing), "case {seed}");
        }
        if whole.is_ok() {
            assert_eq!(text(&whole), text(&head), "case {seed}: {}", bytes.escape_ascii());
        } else {
            assert!(!matches!(head, Ok(Some(_))), "case {seed}: {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn an_answer_ends_where_its_request_and_its_status_say() {
    let framing = |method: &Method, head: &str| {
        let head = head::response(&mut BytesMut::from(format!("{head}\r\n\r\n").as_bytes()), method, BOUNDS);
        head.map(|head| head.expect("a whole head")).map(|head| (head.framing, head.keep_alive))
    };
    let get = |head: &str| framing(&Method::GET, head).unwrap();
    assert_eq!(get("HTTP/1.1 200 OK\r\ncontent-length: 5"), (Framing::Length(5), true));
    assert_eq!(get("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5"), (Framing::Length(5), true));
    assert_eq!(get("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5"), (Framing::Length(5), false));
    assert_eq!(get("HTTP/1.0 200 OK\r\ncontent-length: 5"), (Framing::Length(5), false));
    assert_eq!(get("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"), (Framing::Chunked, true));
    assert_eq!(get("HTTP/1.1 200 OK"), (Framing::UntilEnd, false));
    for status in ["100 Continue", "204 No Content", "304 Not Modified"] {
        assert_eq!(
            get(&format!("HTTP/1.1 {status}\r\ncontent-length: 5")),
            (Framing::None, true),
            "{status}"
        );
    }
    let head = framing(&Method::HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").unwrap();
    assert_eq!(head, (Framing::None, true));
    // After both lengths nothing by this connection is believed.
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked";
    assert_eq!(get(both), (Framing::Chunked, false));
    for bad in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6",
        "HTTP/1.1 200 OK\r\ncontent-length: +5",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
        "HTTP/1.1 99 What",
        "HTTP/3 200 OK",
    ] {
        assert!(framing(&Method::GET, bad).is_err(), "{bad}");
    }
}

#[test]
fn a_body_in_chunks_comes_back_whatever_its_pieces() {
    let mut random = Rng::with_seed(7);
    for _ in 0..2_000 {
        let body: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
        let (mut line, mut rest) = (BytesMut::new(), &body[..]);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len()));
            super::encode::piece(&mut line, piece, true);
            rest = after;
        }
        super::encode::end(&mut line, None, true);
        let (mut reader, mut unread, mut read) =
            (Reader::new(Framing::Chunked, 1_000), BytesMut::new(), Vec::new());
        let mut line = &line[..];
        loop {
            match reader.next(&mut unread).unwrap() {
                Piece::Data(count) => read.extend_from_slice(&unread.split_to(count)),
                Piece::End => break,
                Piece::Trailers(trailers) => panic!("{trailers:?}"),
                Piece::Wanting => {
                    let (some, after) = line.split_at(random.usize(1..=line.len().min(7)));
                    unread.extend_from_slice(some);
                    line = after;
                }
            }
        }
        assert_eq!((read, line.len(), unread.len()), (body, 0, 0));
    }
}

#[test]
fn what_is_no_chunk_is_refused() {
    let read = |bytes: &str| {
        let (mut reader, mut unread) = (Reader::new(Framing::Chunked, 64), BytesMut::from(bytes.as_bytes()));
        loop {
            match reader.next(&mut unread)? {
                Piece::Data(count) => drop(unread.split_to(count)),
                Piece::End | Piece::Trailers(_) => return Ok(true),
                Piece::Wanting => return Ok::<_, head::Unreadable>(false),
            }
        }
    };
    for good in ["0\r\n\r\n", "5 ;x\r\nhello\r\n0\r\n\r\n", "000A\r\n0123456789\r\n0\r\nx: y\r\n\r\n"] {
        assert_eq!(read(good), Ok(true), "{good:?}");
    }
    for part in ["", "5", "5\r", "5\r\nhell", "5\r\nhello\r\n", "0\r\n", "0\r\nx: y\r\n"] {
        assert_eq!(read(part), Ok(false), "{part:?}");
    }
    let long = format!("0\r\nx: {}\r\n\r\n", "y".repeat(64));
    let extended = format!("1;{}\r\n", "x".repeat(20_000));
    for bad in [
        "g\r\n",
        "\r\n",
        "5\nhello",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;\nx\r\nhello",
        "-5\r\n",
        "+5\r\n",
        "0x5\r\n",
        "fffffffffffffffff\r\n",
        "5\rhello",
        "0\r\n bad\r\n\r\n",
        &long,
        &extended,
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn trailers_are_judged_without_what_follows_them() {
    let (mut reader, mut unread) =
        (Reader::new(Framing::Chunked, 64), BytesMut::from("0\r\nX-T: 1\r\n\r\nPOST {\n"));
    assert!(matches!(reader.next(&mut unread), Ok(Piece::Trailers(trailers)) if trailers.len() == 1));
    assert_eq!(unread, "POST {\n");
    // Byte by byte as well.
    let mut reader = Reader::new(Framing::Chunked, 64);
    let mut unread = BytesMut::new();
    let mut seen = 0;
    for byte in b"0\r\nX-T: 1\r\nX-U: 2\r\n\r\n" {
        unread.extend_from_slice(&[*byte]);
        match reader.next(&mut unread).unwrap() {
            Piece::Wanting => {}
            Piece::Trailers(trailers) => seen = trailers.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seen, unread.len()), (2, 0));
}

#[test]
fn nothing_of_a_connection_or_of_a_caller_s_secrets_goes_on() {
    let read = |text: &str| head::request(&mut BytesMut::from(text), BOUNDS).unwrap().expect("a whole head");
    let h2c = "GET / HTTP/1.1\r\nHost: cart\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
    let head = read(h2c);
    assert!(head.upgrade.is_none(), "HTTP/2 would be a tunnel past everything");
    let written = rewritten(head, b"");
    let written = String::from_utf8_lossy(&written).to_lowercase();
    assert!(!written.contains("upgrade") && !written.contains("settings"), "{written}");
    let written = rewritten(read("GET http://user:word@cart/ HTTP/1.1\r\n\r\n"), b"");
    let written = String::from_utf8_lossy(&written).into_owned();
    assert!(written.contains("host: cart\r\n") && !written.contains("word"), "{written}");
    let answer =
        "HTTP/1.1 200 OK\r\nConnection: Date, X-Secret\r\nDate: today\r\nX-Secret: 1\r\nX-Kept: 2\r\n\r\n";
    let answer =
        head::response(&mut BytesMut::from(answer), &Method::GET, BOUNDS).unwrap().expect("a whole head");
    assert_eq!((&answer.fields[..], answer.has_date), (b"X-Kept: 2\r\n".as_slice(), false));
}
