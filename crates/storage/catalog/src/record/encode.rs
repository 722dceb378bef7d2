//! From what the registry has to bytes, straight from where it stands.
//!
//! A batch of registrations is encoded by the one task that changes the registry, while everybody waits for
//! it. Going through the messages of [`record`](super) would copy each text once more; the tests hold the
//! bytes against what those messages make of them.

use std::{io::Write, net::IpAddr, time::Duration};

use registry::{
    Change, Check, Digits, Effect, Host, Instance, Note, Override, Probe, Status, Target, Verdict,
};

use super::nanos;

/// A Protocol Buffers message under way. What has its default value is left out, as in proto3.
pub(crate) struct Fields<'a>(&'a mut Vec<u8>);

const VARINT: u32 = 0;
const EIGHT_BYTES: u32 = 1;
const LENGTH_GIVEN: u32 = 2;

impl Fields<'_> {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn key(&mut self, tag: u32, kind: u32) {
        self.varint(u64::from(tag << 3 | kind));
    }

    fn number(&mut self, tag: u32, number: u64) {
        self.maybe_number(tag, Some(number).filter(|number| *number != 0));
    }

    fn maybe_number(&mut self, tag: u32, number: Option<u64>) {
        if let Some(number) = number {
            self.key(tag, VARINT);
            self.varint(number);
        }
    }

    fn maybe_duration(&mut self, tag: u32, duration: Option<Duration>) {
        self.maybe_number(tag, duration.map(nanos));
    }

    fn fixed(&mut self, tag: u32, number: u64) {
        self.maybe_fixed(tag, Some(number).filter(|number| *number != 0));
    }

    fn maybe_fixed(&mut self, tag: u32, number: Option<u64>) {
        if let Some(number) = number {
            self.key(tag, EIGHT_BYTES);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn text(&mut self, tag: u32, text: &str) {
        self.maybe_text(tag, Some(text).filter(|text| !text.is_empty()));
    }

    fn maybe_text(&mut self, tag: u32, text: Option<&str>) {
        if let Some(text) = text {
            self.key(tag, LENGTH_GIVEN);
            self.varint(text.len() as u64);
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    /// A message within this one.
    fn message(&mut self, tag: u32, write: impl FnOnce(&mut Fields<'_>)) {
        self.bytes(tag, |bytes| write(&mut Fields(bytes)));
    }

    /// Whatever is written, with its length before it. That is known only afterwards: most is shorter than
    /// 128 bytes, so there is room for one byte, and more is made where more is needed.
    fn bytes(&mut self, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(tag, LENGTH_GIVEN);
        let at = self.0.len();
        self.0.push(0);
        write(self.0);
        let mut length = self.0.len() - at - 1;
        let mut end = at;
        while length >= 0x80 {
            self.0.insert(end, length as u8 | 0x80);
            length >>= 7;
            end += 1;
        }
        if let Some(last) = self.0.get_mut(end) {
            *last = length as u8;
        }
    }

    fn target(&mut self, tag: u32, target: &Target) {
        self.text(tag, target.namespace.as_str());
        self.text(tag + 1, target.service.as_str());
        self.text(tag + 2, target.instance.as_str());
    }
}

/// A [`ChangeRecord`](super::ChangeRecord).
pub(crate) fn change(change: &Change, into: &mut Vec<u8>) {
    change_in(change, &mut Fields(into));
}

/// A [`RemovalsRecord`](crate::removals::RemovalsRecord).
pub(crate) fn removals<'a>(first: &Change, others: impl Iterator<Item = &'a str>, into: &mut Vec<u8>) {
    let mut fields = Fields(into);
    fields.message(1, |fields| change_in(first, fields));
    others.for_each(|other| fields.maybe_text(2, Some(other)));
}

fn change_in(change: &Change, fields: &mut Fields<'_>) {
    fields.number(1, change.revision);
    fields.fixed(2, change.at.0);
    fields.target(3, &change.target);
    fields.text(6, change.cause.action.as_str());
    fields.text(7, &change.cause.actor.name);
    fields.text(8, &change.cause.reason);
    match &change.effect {
        Effect::Put(put) => fields.message(9, |fields| instance(put, fields)),
        Effect::Removed => {}
        Effect::Leased(lease) => fields.maybe_fixed(10, Some(lease.0)),
    }
    fields.text(11, &change.cause.actor.from);
}

/// An [`InstanceRecord`](super::InstanceRecord).
pub(crate) fn instance_of(target: &Target, of: &Instance, into: &mut Vec<u8>) {
    let mut fields = Fields(into);
    fields.target(1, target);
    fields.message(4, |fields| instance(of, fields));
}

fn instance(instance: &Instance, fields: &mut Fields<'_>) {
    let (registration, condition) = (&instance.registration, &instance.condition);
    match &registration.address {
        Host::Name(name) => fields.text(1, name),
        Host::Ip(IpAddr::V4(address)) => fields.text(1, &Digits::from(*address)),
        // Writing to memory cannot fail.
        Host::Ip(IpAddr::V6(address)) => fields.bytes(1, |bytes| drop(write!(bytes, "{address}"))),
    }
    fields.number(2, registration.port.into());
    fields.maybe_text(3, registration.zone.as_deref());
    fields.maybe_text(4, registration.version.as_deref());
    fields.number(5, registration.weight.into());
    for (name, text) in registration.metadata.iter() {
        fields.message(6, |fields| {
            fields.text(1, name);
            fields.text(2, text);
        });
    }
    fields.maybe_duration(7, registration.ttl.map(Into::into));
    fields.maybe_duration(8, registration.deregister_after.map(Into::into));
    fields.text(9, instance.status.as_str());
    fields.text(10, &instance.reason());
    fields.fixed(11, instance.since.0);
    fields.fixed(12, instance.lease.0);
    fields.fixed(13, instance.registered_at.0);
    fields.number(14, instance.revision);
    for (of, verdict) in registration.checks.iter().zip(&condition.verdicts) {
        fields.message(15, |fields| check(of, verdict, fields));
    }
    fields.maybe_duration(16, registration.warm_up.map(Into::into));
    fields.maybe_fixed(17, condition.lapsed.map(|at| at.0));
    fields.number(18, condition.is_cold.into());
    if let Some(drain) = &condition.drain {
        fields.message(19, |fields| note(&drain.note, fields));
    }
    if let Some(of) = &condition.pinned {
        fields.message(20, |fields| pinned(of, fields));
    }
    fields.number(21, condition.drain.as_deref().map_or(0, |drain| drain.revision));
    if let Some(of) = &condition.weighed {
        fields.message(22, |fields| {
            fields.number(1, of.weight.into());
            fields.message(2, |fields| note(&of.note, fields));
        });
    }
}

fn check(check: &Check, verdict: &Verdict, fields: &mut Fields<'_>) {
    let (probe, asks) = match &check.probe {
        Probe::Http { path } => ("http", &**path),
        Probe::Tcp => ("tcp", ""),
        Probe::Grpc { service } => ("grpc", &**service),
    };
    fields.text(1, probe);
    fields.text(2, asks);
    fields.maybe_number(3, check.port.map(u64::from));
    fields.number(4, nanos(check.interval));
    fields.number(5, nanos(check.timeout));
    fields.number(6, check.success_threshold.into());
    fields.number(7, check.failure_threshold.into());
    fields.text(8, verdict.as_str());
    if let Verdict::Failing(why) = verdict {
        fields.text(9, why);
    }
}

fn note(note: &Note, fields: &mut Fields<'_>) {
    fields.text(1, &note.by);
    fields.fixed(2, note.at.0);
    fields.text(3, &note.reason);
}

fn pinned(pinned: &Override, fields: &mut Fields<'_>) {
    fields.text(1, Status::from(pinned.status).as_str());
    fields.message(2, |fields| note(&pinned.note, fields));
    fields.maybe_fixed(3, pinned.until.map(|until| until.0));
}

#[cfg(test)]
mod tests {
    use identity::{Mono, Now, Wall};
    use prost::Message;
    use registry::{Ask, Command, LeaseId, Pinned, Registration, Registry};

    use super::{super::*, *};

    fn target() -> Target {
        let [namespace, service, instance] = ["default", "cart", "cart-1"];
        Target {
            namespace: namespace.parse().unwrap(),
            service: service.parse().unwrap(),
            instance: instance.parse().unwrap(),
        }
    }

    /// Whatever can be known of an instance, in changes of every effect.
    fn changes(address: &str, metadata: &[(String, String)]) -> Vec<std::sync::Arc<Change>> {
        let check = |probe| Check { port: Some(9), ..Check::new(probe) };
        let checks = [
            check(Probe::Http { path: "/healthz".into() }),
            check(Probe::Tcp),
            Check::new(Probe::Grpc { service: "".into() }),
        ];
        let registration = |weight| Registration {
            zone: Some("".into()),
            version: Some("1.4.2".into()),
            weight,
            metadata: metadata.iter().cloned().collect(),
            ttl: Some(Duration::from_secs(15).into()),
            deregister_after: Some(Duration::from_secs(60).into()),
            warm_up: Some(Duration::from_secs(30).into()),
            checks: checks.clone().into(),
            ..Registration::new(Host::parse(address).unwrap(), 8080)
        };
        let judge = |check: &Check, verdict| Ask::Judge { lease: LeaseId(0), check: check.clone(), verdict };
        let register = |weight, lease| Ask::Register {
            registration: Box::new(registration(weight)),
            lease: LeaseId(lease),
            held: None,
        };
        let reason = || "works on it".into();
        let asks = [
            register(0, 0),
            register(0, u64::MAX),
            register(10_000, 0),
            judge(&checks[0], Verdict::Passing),
            judge(&checks[1], Verdict::Failing("refused".into())),
            Ask::Drain { held: None, force: true, reason: reason() },
            Ask::Override { status: Pinned::Maintenance, lasts: None, reason: "".into() },
            Ask::Override { status: Pinned::Up, lasts: Some(Duration::from_secs(60)), reason: reason() },
            Ask::Weigh { weight: 0, force: true, reason: "".into() },
            Ask::Weigh { weight: 10_000, force: false, reason: reason() },
            Ask::Deregister { held: None, reason: "".into() },
        ];
        let mut registry = Registry::default();
        let now = Now { mono: Mono(5), wall: Wall(1_700_000_000_000_000_000) };
        let actor = registry::Actor { name: "operator".into(), from: "http 127.0.0.1:1".into() };
        let mut apply = |ask| registry.apply(now, Command { target: target(), actor: actor.clone(), ask });
        let changes: Vec<_> = asks.into_iter().filter_map(|ask| apply(ask).unwrap().change).collect();
        assert_eq!(changes.len(), 11);
        changes
    }

    #[test]
    fn every_change_is_written_as_its_message_would_be_and_read_as_it_was() {
        let text = |length: usize| "ü".repeat(length / 2);
        let large: Vec<_> = (0..64).map(|n| (format!("{n}-{}", text(100)), text(1_024))).collect();
        let medium = [("k".to_owned(), text(200)), ("empty".to_owned(), String::new())];
        for (address, metadata) in [("10.0.0.7", &[][..]), ("::1", &medium), ("cart.internal", &large)] {
            for known in changes(address, metadata) {
                let mut bytes = Vec::new();
                change(&known, &mut bytes);
                let message = ChangeRecord::decode(&*bytes).unwrap();
                assert!(message.encode_to_vec() == bytes, "{message:?}");
                assert_eq!(Change::try_from(message).unwrap(), *known);
                let Effect::Put(put) = &known.effect else { continue };
                bytes.clear();
                instance_of(&target(), put, &mut bytes);
                let message = InstanceRecord::decode(&*bytes).unwrap();
                assert!(message.encode_to_vec() == bytes, "{message:?}");
                assert_eq!(message.read().unwrap(), (target(), Instance::clone(put)));
            }
        }
    }
}
