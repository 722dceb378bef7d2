//! What senders compressed, made whole again within bounds.
//!
//! A request of a megabyte can stand for a gigabyte. So the output is bounded and not the input, what was
//! read so far is all that is held, and what a format may ask for besides, zstd's window, is bounded as
//! well: at the eight megabytes that RFC 8878 wants every decoder to take, and not at the 128 that the
//! library would.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;
use http::{HeaderMap, header::HeaderName};
use wire::native::problem::{Code, Problem};

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// What can be read, as headers name it.
pub(crate) const CODINGS: &str = "gzip, zstd, identity";

/// The base-2 logarithm of the largest window of zstd: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// How much is inflated before the bound is looked at again.
const STEP: usize = 64 << 10;

impl Coding {
    /// The coding that a header names; none where it is not there.
    pub(crate) fn named(headers: &HeaderMap, name: HeaderName) -> Result<Self, Problem> {
        let Some(value) = headers.get(&name) else { return Ok(Coding::Identity) };
        match value.to_str().map(str::trim).unwrap_or_default() {
            "" | "identity" => Ok(Coding::Identity),
            "gzip" => Ok(Coding::Gzip),
            "zstd" => Ok(Coding::Zstd),
            other => {
                let detail = format!("the coding \"{}\" is not understood", other.escape_debug());
                let problem = Problem::new(Code::TelemetryUnsupported, detail).at(name.as_str());
                Err(problem.next(format!("send one of {CODINGS}")))
            }
        }
    }
}

/// Why a body could not be made whole.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is larger than the bound.
    TooLarge,
    /// It is not what it says it is.
    Broken(io::Error),
}

/// The whole of `body`, of which there may be no more than `most` bytes.
pub(crate) fn inflate(coding: Coding, body: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
    match coding {
        Coding::Identity => Ok(body.to_vec()),
        Coding::Gzip => whole(MultiGzDecoder::new(body), most),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(Refused::Broken)?;
            decoder.window_log_max(WINDOW_LOG).map_err(Refused::Broken)?;
            whole(decoder, most)
        }
    }
}

fn whole(mut from: impl Read, most: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    loop {
        let room = (most - bytes.len()).min(STEP) as u64;
        let read = from.by_ref().take(room).read_to_end(&mut bytes).map_err(Refused::Broken)?;
        if (read as u64) < room {
            return Ok(bytes);
        }
        if bytes.len() == most {
            // One more byte tells whether that was all.
            let more = from.read(&mut [0]).map_err(Refused::Broken)?;
            return if more == 0 { Ok(bytes) } else { Err(Refused::TooLarge) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    #[test]
    fn what_was_compressed_comes_back_up_to_the_bound() {
        for len in [0, 1, STEP - 1, STEP, STEP + 1, 3 * STEP] {
            let text: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            for (coding, packed) in [(Coding::Gzip, gzip(&text)), (Coding::Zstd, zstd(&text))] {
                assert_eq!(inflate(coding, &packed, len).unwrap(), text, "{coding:?} {len}");
                if len > 0 {
                    let refused = inflate(coding, &packed, len - 1).unwrap_err();
                    assert!(matches!(refused, Refused::TooLarge), "{coding:?} {len} {refused:?}");
                }
            }
        }
    }

    #[test]
    fn a_megabyte_that_stands_for_a_gigabyte_costs_no_more_than_the_bound() {
        const MOST: usize = 8 << 20;
        // Both formats may be put together from parts.
        let zeros = vec![0; 1 << 20];
        let (gzip, zstd) = (gzip(&zeros).repeat(1024), zstd(&zeros).repeat(1024));
        assert!(gzip.len() < 2 << 20 && zstd.len() < 1 << 20);
        for (coding, packed) in [(Coding::Gzip, gzip), (Coding::Zstd, zstd)] {
            let mut refused = None;
            let used = allocation_counter::measure(|| refused = Some(inflate(coding, &packed, MOST)));
            assert!(matches!(refused, Some(Err(Refused::TooLarge))), "{coding:?}");
            // A vector that grows has both of its sizes for a moment.
            assert!(used.bytes_max < 3 * MOST as u64, "{coding:?} took {} bytes", used.bytes_max);
        }
    }

    #[test]
    fn a_window_that_is_larger_than_everybody_takes_is_refused() {
        // A frame that asks for 128 MiB: magic number, a descriptor, the window, an empty last block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        assert!(matches!(inflate(Coding::Zstd, &frame, 1 << 20), Err(Refused::Broken(_))));
        let fits = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x01, 0x00, 0x00];
        assert_eq!(inflate(Coding::Zstd, &fits, 1 << 20).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_not_compressed_at_all_is_refused() {
        for (coding, packed) in [(Coding::Gzip, gzip(b"some text")), (Coding::Zstd, zstd(b"some text"))] {
            for end in 1..packed.len() {
                assert!(inflate(coding, &packed[..end], 100).is_err(), "{coding:?} cut at {end}");
            }
            assert!(inflate(coding, b"some text", 100).is_err());
        }
    }
}
