//! A backup from bytes, however they are cut into pieces. Nothing is believed before all of it was seen.

use std::{collections::HashSet, sync::Arc};

use identity::{Namespace, PolicyName, ProxyId};
use registry::Target;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use wire::native::problem::{Code, Problem};

use super::{
    Backup, FORMAT, LINE_BYTES, VERSION,
    shapes::{Header, Kind, Line, hex},
};

/// A backup that is being read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// Lines that were read.
    lines: u64,
    hash: Sha256,
    header: Option<Header>,
    backup: Option<Backup>,
    seen: Seen,
    is_complete: bool,
}

/// What was there already, to notice what is there twice.
#[derive(Debug, Default)]
struct Seen {
    instances: HashSet<Target>,
    tokens: HashSet<String>,
    proxies: HashSet<ProxyId>,
    policies: HashSet<(Namespace, PolicyName)>,
}

impl Reading {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The line that is not as it should be.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Problem> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = bytes.split_at(end + 1);
            bytes = after;
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                self.rest.extend_from_slice(line);
                let line = std::mem::take(&mut self.rest);
                self.line(&line)?;
            }
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LINE_BYTES {
            return Err(self.damaged(format!("is longer than {LINE_BYTES} bytes")));
        }
        Ok(())
    }

    /// The backup, if all of it came.
    ///
    /// # Errors
    /// The file was cut.
    pub(crate) fn finish(self) -> Result<Backup, Problem> {
        match self.backup {
            Some(backup) if self.is_complete && self.rest.is_empty() => Ok(backup),
            _ => {
                let detail =
                    format!("the file ends after line {} and before its checksum: it was cut", self.lines);
                Err(Problem::new(Code::BackupDamaged, detail))
            }
        }
    }

    /// Takes a line with its end.
    fn line(&mut self, line: &[u8]) -> Result<(), Problem> {
        if self.is_complete {
            return Err(self.damaged("stands after the checksum, which is the last".to_owned()));
        }
        if line.len() > LINE_BYTES {
            return Err(self.damaged(format!("is longer than {LINE_BYTES} bytes")));
        }
        match &self.header {
            None => self.header(line)?,
            Some(_) => match self.read::<Line>(line)? {
                Line::Sha256(sum) => return self.end(&sum),
                line => self.item(line)?,
            },
        }
        self.hash.update(line);
        self.lines += 1;
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Problem> {
        let foreign = |detail: String| {
            Problem::new(Code::BackupDamaged, detail).next("give a file that `bellwether backup` wrote")
        };
        let kind = serde_json::from_slice::<Kind>(line);
        let kind = kind.map_err(|_| foreign("the first line is not that of a backup".to_owned()))?;
        if kind.format != FORMAT {
            return Err(foreign(format!("the file is a {:?} and not a {FORMAT:?}", kind.format)));
        }
        if !(1..=VERSION).contains(&kind.version) {
            let detail = format!(
                "the backup has version {}, and this server reads up to version {VERSION}",
                kind.version
            );
            return Err(
                Problem::new(Code::BackupDamaged, detail).next("restore it on a server of its own version")
            );
        }
        let header: Header = self.read(line)?;
        self.backup = Some(Backup {
            revision: header.revision,
            made_at: header.made_at,
            instances: Vec::new(),
            tokens: Vec::new(),
            proxies: Vec::new(),
            policies: Vec::new(),
        });
        self.header = Some(header);
        Ok(())
    }

    fn item(&mut self, line: Line) -> Result<(), Problem> {
        let read = self.read_item(line);
        read.map_err(|why| self.damaged(format!("is not valid: {why}")))
    }

    fn read_item(&mut self, line: Line) -> Result<(), String> {
        let (Some(backup), Some(header)) = (&mut self.backup, &self.header) else { return Ok(()) };
        let (count, most, what) = match line {
            Line::Instance(line) => {
                let (target, instance) = line.read()?;
                if !self.seen.instances.insert(target.clone()) {
                    return Err(format!("instance {target} is there twice"));
                }
                backup.instances.push((target, Arc::new(instance)));
                (backup.instances.len(), header.instances, "instances")
            }
            Line::Token(line) => {
                let token = line.read()?;
                if !self.seen.tokens.insert(token.id.clone()) {
                    return Err("its token is there twice".to_owned());
                }
                backup.tokens.push(token);
                (backup.tokens.len(), header.tokens, "tokens")
            }
            Line::Proxy(line) => {
                backup.proxies.push(line.into());
                let is_new =
                    backup.proxies.last().is_none_or(|known| self.seen.proxies.insert(known.id.clone()));
                if !is_new {
                    return Err("its proxy is there twice".to_owned());
                }
                (backup.proxies.len(), header.proxies, "proxies")
            }
            Line::Policy(line) => {
                let policy = line.read()?;
                if !self.seen.policies.insert((policy.namespace.clone(), policy.name.clone())) {
                    return Err(format!("policy {} is there twice", policy.name));
                }
                backup.policies.push(policy);
                (backup.policies.len(), header.policies, "policies")
            }
            Line::Sha256(_) => return Ok(()),
        };
        if count as u64 > most {
            return Err(format!("the first line promises {most} {what}, and there are more"));
        }
        Ok(())
    }

    fn end(&mut self, sum: &str) -> Result<(), Problem> {
        let found = hex(&std::mem::take(&mut self.hash).finalize());
        if found != sum {
            let detail = format!("the lines have the checksum {found}, and the last line says {sum:?}");
            return Err(Problem::new(Code::BackupDamaged, detail));
        }
        let (Some(header), Some(backup)) = (&self.header, &self.backup) else { return Ok(()) };
        let promised = [header.instances, header.tokens, header.proxies, header.policies];
        let found =
            [&backup.instances.len(), &backup.tokens.len(), &backup.proxies.len(), &backup.policies.len()];
        let found = found.map(|len| *len as u64);
        if promised != found {
            let detail = format!(
                "the first line promises {} instances, {} tokens, {} proxies and {} policies, \
                 and there are {}, {}, {} and {}",
                promised[0], promised[1], promised[2], promised[3], found[0], found[1], found[2], found[3]
            );
            return Err(Problem::new(Code::BackupDamaged, detail));
        }
        self.is_complete = true;
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, Problem> {
        serde_json::from_slice(line).map_err(|error| self.damaged(format!("cannot be read: {error}")))
    }

    /// The problem of the line that is looked at.
    fn damaged(&self, what: String) -> Problem {
        let line = self.lines + 1;
        Problem::new(Code::BackupDamaged, format!("line {line} {what}")).at(format!("line {line}"))
    }
}
