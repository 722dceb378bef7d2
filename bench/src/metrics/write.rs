//! Samples as remote write 1.0 carries them, and the client that sends them to all servers alike.
//!
//! A request has one sample of each of some 2,240 series, as a Prometheus sends on what it has scraped. Three
//! connections have a third of the requests each, so that the samples of a series arrive in their order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::runtime::Runtime;

use super::fleet::{Fleet, Pairs};
use crate::{Failure, http::Connection};

/// Series of a request.
const REQUEST_SERIES: usize = 2_240;
/// Connections at a time.
const CONNECTIONS: usize = 3;
/// Before a request is sent again that was refused for want of room.
const BACK_OFF: Duration = Duration::from_millis(20);

/// Makes requests.
pub(crate) struct Requests {
    /// The fields of each series' labels.
    labels: Vec<Vec<u8>>,
    message: Vec<u8>,
    encoder: snap::raw::Encoder,
}

/// The requests of some steps, by connection.
pub(crate) struct Slice {
    requests: [Vec<Vec<u8>>; CONNECTIONS],
    pub(crate) samples: u64,
}

impl Requests {
    pub(crate) fn new(fleet: &Fleet) -> Self {
        let labels = fleet.names().iter().map(labels).collect();
        Self { labels, message: Vec::new(), encoder: snap::raw::Encoder::new() }
    }

    /// The next steps of a fleet.
    pub(crate) fn slice(&mut self, fleet: &mut Fleet, steps: usize) -> Result<Arc<Slice>, Failure> {
        let mut slice = Slice { requests: Default::default(), samples: 0 };
        for _ in 0..steps {
            let (times, values) = fleet.next();
            slice.samples += values.len() as u64;
            let all: Vec<usize> = (0..values.len()).collect();
            for (number, series) in all.chunks(REQUEST_SERIES).enumerate() {
                self.message.clear();
                for &at in series {
                    self.put(at, times[at], values[at]);
                }
                slice.requests[number % CONNECTIONS].push(self.request()?);
            }
        }
        Ok(Arc::new(slice))
    }

    /// A series with a sample: field 1 of the message, in which 1 are labels and 2 is the sample.
    fn put(&mut self, series: usize, time: i64, value: f64) {
        let (labels, into) = (&self.labels[series], &mut self.message);
        // Its value is field 1 and fixed, its time field 2.
        let sample = 1 + 8 + 1 + varint_bytes(time.cast_unsigned());
        into.push(0x0a);
        put_varint((labels.len() + 2 + sample) as u64, into);
        into.extend_from_slice(labels);
        into.extend([0x12, sample as u8, 0x09]);
        into.extend(value.to_le_bytes());
        into.push(0x10);
        put_varint(time.cast_unsigned(), into);
    }

    fn request(&mut self) -> Result<Vec<u8>, Failure> {
        let body = self.encoder.compress_vec(&self.message)?;
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n\
             content-encoding: snappy\r\nx-prometheus-remote-write-version: 0.1.0\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok([head.as_bytes(), &body].concat())
    }
}

/// Labels as they stand in a series: field 1, in which 1 is the name and 2 the value.
fn labels(pairs: &Pairs) -> Vec<u8> {
    let mut into = Vec::new();
    for (name, value) in pairs {
        let mut label = Vec::new();
        for (tag, text) in [(0x0a, *name), (0x12, value.as_str())] {
            label.push(tag);
            put_varint(text.len() as u64, &mut label);
            label.extend_from_slice(text.as_bytes());
        }
        into.push(0x0a);
        put_varint(label.len() as u64, &mut into);
        into.extend(label);
    }
    into
}

fn put_varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn varint_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Sends requests, each after the answer to the one before it, and says how many had to be sent again.
pub(crate) fn send(runtime: &Runtime, address: SocketAddr, slice: &Arc<Slice>) -> Result<u64, Failure> {
    runtime.block_on(async {
        let one = |connection: usize| tokio::spawn(post(address, Arc::clone(slice), connection));
        let tasks: Vec<_> = (0..CONNECTIONS).map(one).collect();
        let mut again = 0;
        for task in tasks {
            again += task.await??;
        }
        Ok(again)
    })
}

async fn post(address: SocketAddr, slice: Arc<Slice>, connection: usize) -> Result<u64, Failure> {
    let (mut to, mut again) = (Connection::open(address).await?, 0);
    for request in &slice.requests[connection] {
        while let Err(error) = to.ask(request).await.map(drop) {
            let text = error.to_string();
            if !["429", "503"].iter().any(|status| text.contains(&format!("answered {status}"))) {
                return Err(error);
            }
            again += 1;
            tokio::time::sleep(BACK_OFF).await;
        }
    }
    Ok(again)
}

#[cfg(test)]
mod tests {
    use wire::remote_write::{Sink, Version, decode};

    use super::*;
    use crate::metrics::fleet::USUAL;

    #[derive(Default)]
    struct Read(Vec<Pairs2>, Vec<(i64, u64)>);
    type Pairs2 = Vec<(String, String)>;

    impl Sink for Read {
        type Spelling = ();

        fn spelled(&mut self, _: &[u8]) -> Result<(), ()> {
            Err(())
        }

        fn series(&mut self, labels: &[(&str, &str)], _: Option<()>) {
            self.0.push(labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        }

        fn sample(&mut self, time: i64, value: f64) {
            self.1.push((time, value.to_bits()));
        }

        fn exemplar(&mut self, _: i64, _: f64, _: &[(&str, &str)]) {
            unreachable!("none is sent");
        }
    }

    #[test]
    fn what_is_sent_is_what_the_fleet_has() {
        let (mut fleet, mut twin) = (Fleet::new(3, USUAL, 1_000), Fleet::new(3, USUAL, 1_000));
        let slice = Requests::new(&fleet).slice(&mut fleet, 1).unwrap();
        let mut read = Read::default();
        for request in slice.requests.iter().flatten() {
            let head = crate::http::find(request, b"\r\n\r\n").unwrap() + 4;
            let body = snap::raw::Decoder::new().decompress_vec(&request[head..]).unwrap();
            decode(Version::One, &body, &mut read).unwrap();
        }
        assert_eq!((slice.samples, read.0.len()), (6_715, 6_715));
        let named =
            |pairs: &Pairs| pairs.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        assert_eq!(read.0, twin.names().iter().map(named).collect::<Vec<Pairs2>>());
        let (times, values) = twin.next();
        let sent: Vec<(i64, u64)> =
            times.iter().copied().zip(values.iter().map(|value| value.to_bits())).collect();
        assert_eq!(read.1, sent);
    }
}
