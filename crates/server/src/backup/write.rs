//! A backup as bytes, piece by piece: nobody holds the whole file.

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Backup, FORMAT, VERSION,
    shapes::{Header, InstanceLine, Line, PolicyLine, ProxyLine, TokenLine, hex},
};

/// Lines are collected up to this many bytes.
const PIECE: usize = 64 << 10;

/// A backup that is being written.
#[derive(Debug)]
pub(crate) struct Writing {
    backup: Backup,
    /// Lines that were written.
    at: usize,
    hash: Sha256,
    is_over: bool,
}

impl Writing {
    pub(crate) fn new(backup: Backup) -> Self {
        Self { backup, at: 0, hash: Sha256::new(), is_over: false }
    }

    /// The next lines; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
        while piece.len() < PIECE {
            if !self.line(&mut piece) {
                self.hash.update(&piece);
                let sum = hex(&std::mem::take(&mut self.hash).finalize());
                write(&mut piece, &Line::Sha256(sum));
                self.is_over = true;
                return Some(piece.into());
            }
            self.at += 1;
        }
        self.hash.update(&piece);
        Some(piece.into())
    }

    /// Writes the next line, if there is one before the last.
    fn line(&self, piece: &mut Vec<u8>) -> bool {
        let Backup { instances, tokens, proxies, policies, .. } = &self.backup;
        let Some(at) = self.at.checked_sub(1) else {
            write(piece, &self.header());
            return true;
        };
        if let Some((target, instance)) = instances.get(at) {
            write(piece, &Line::Instance(Box::new(InstanceLine::from((target, &**instance)))));
            return true;
        }
        let at = at - instances.len();
        if let Some(token) = tokens.get(at) {
            write(piece, &Line::Token(TokenLine::from(token)));
            return true;
        }
        let at = at - tokens.len();
        if let Some(proxy) = proxies.get(at) {
            write(piece, &Line::Proxy(ProxyLine::from(proxy)));
            return true;
        }
        let policy = policies.get(at - proxies.len()).and_then(PolicyLine::new);
        let is_there = policy.is_some();
        if let Some(policy) = policy {
            write(piece, &Line::Policy(Box::new(policy)));
        }
        is_there
    }

    fn header(&self) -> Header {
        let Backup { revision, made_at, instances, tokens, proxies, policies } = &self.backup;
        Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            revision: *revision,
            made_at: *made_at,
            server: env!("CARGO_PKG_VERSION").to_owned(),
            instances: instances.len() as u64,
            tokens: tokens.len() as u64,
            proxies: proxies.len() as u64,
            policies: policies.len() as u64,
        }
    }
}

fn write(piece: &mut Vec<u8>, line: &impl Serialize) {
    // Texts and numbers only, into memory: this cannot fail, and a line that is missing makes a file that
    // is refused.
    let _ = serde_json::to_writer(&mut *piece, line);
    piece.push(b'\n');
}
