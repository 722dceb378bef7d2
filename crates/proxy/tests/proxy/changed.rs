//! Requests that were changed at random, at places where a parser may trip.

use fastrand::Rng;

/// What requests are made of, and what breaks them.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    "\x7f",
    "\u{e9}",
    ":",
    ",",
    ";",
    "0",
    "5",
    "+5",
    "-1",
    "0x5",
    "5 5",
    "18446744073709551616",
    "ffffffffffffffffff",
    "Content-Length: 5\r\n",
    "content-length:5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length : 5\r\n",
    " Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "TRANSFER-ENCODING: CHUNKED\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=b\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "5\nhello\n",
    "0\r\nX-Sum: 1\r\n\r\n",
    "0\r\nContent-Length: 9\r\n\r\n",
    "GET /smuggled HTTP/1.1\r\nHost: cart\r\n\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "HTTP/1.2",
    "HTTP/2.0",
    "GET ",
    "POST ",
    "PRI ",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: content-length\r\n",
    "Connection: Transfer-Encoding\r\n",
    "Host: cart\r\n",
    "Host: other\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    "Connection: upgrade\r\n",
    "X: y\r\n",
    "X:\r\n",
    "http://cart/",
    "hello",
];

/// Messages before they are changed.
const SEEDS: &[&str] = &[
    "GET /a HTTP/1.1\r\nHost: cart\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: cart\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: cart\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: cart\r\nTransfer-Encoding: chunked\r\n\r\n2;x=\"y\"\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: cart\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: cart\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: cart\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: cart\r\n\r\n",
    "GET /a HTTP/1.0\r\nHost: cart\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\nHost: cart\r\n\r\n",
];

/// A message that was changed a little.
pub(crate) fn changed(random: &mut Rng) -> Vec<u8> {
    let mut bytes = random.choice(SEEDS).copied().unwrap_or_default().as_bytes().to_vec();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..8) {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            3 => {
                let end = random.usize(at..=bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                // Where lines begin, most of the time: there words mean something.
                let lines: Vec<_> = (1..bytes.len()).filter(|at| bytes[at - 1] == b'\n').collect();
                let at = if random.u8(0..4) > 0 { *random.choice(&lines).unwrap_or(&at) } else { at };
                let word = random.choice(WORDS).copied().unwrap_or_default();
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}
