//! What a span tells of a call.

use identity::{SpanId, TraceId, Wall};

use crate::{
    Kind, Span,
    borrowed::{SpanRef, ValueRef},
    sampling::Told,
};

/// The part of a span that tells of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<'a> {
    /// The span's trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// What caused it.
    pub parent_span_id: Option<SpanId>,
    /// Its role in the call.
    pub kind: Kind,
    /// When it began.
    pub start: Wall,
    /// How long it took.
    pub duration_ns: u64,
    /// Whether it failed.
    pub error: bool,
    /// For how many spans it stands, by what its sender told of sampling; 1 where it told nothing.
    pub one_in: f64,
    /// The namespace of its service.
    pub namespace: &'a str,
    /// Its service.
    pub service: &'a str,
    /// What its attributes say of the other end.
    pub peer: Peer<'a>,
    /// The spans that it links to, up to [`Self::LINKS`].
    pub links: Vec<(TraceId, SpanId)>,
}

/// What attributes of a span say of the other end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer<'a> {
    /// Whether a proxy recorded the span.
    pub proxy: bool,
    /// The service that the proxy called.
    pub called: Option<&'a str>,
    /// The namespace of that.
    pub called_namespace: Option<&'a str>,
    /// The kind of a database.
    pub database: Option<&'a str>,
    /// Its name.
    pub database_name: Option<&'a str>,
    /// The kind of a queue.
    pub messaging: Option<&'a str>,
    /// Its name.
    pub destination: Option<&'a str>,
    /// The callee as its caller calls it.
    pub service: Option<&'a str>,
    /// The callee's address.
    pub address: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// So many links of a consumer are followed: of larger batches, the first messages.
    pub const LINKS: usize = 16;

    /// What a span tells.
    pub fn of(span: &'a Span) -> Self {
        let mut peer = Peer::default();
        if span.kind != Kind::Internal {
            let texts =
                span.attributes.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
            texts.for_each(|(key, text)| peer.take(key, text));
        }
        let links = span.links.iter().take(Self::links_of(span.kind));
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            kind: span.kind,
            start: span.start,
            duration_ns: span.duration_ns,
            error: span.is_error(),
            one_in: span.one_in().unwrap_or(1.0),
            namespace: span.resource.namespace(),
            service: span.service(),
            peer,
            links: links.map(|link| (link.trace_id, link.span_id)).collect(),
        }
    }

    /// What a borrowed span of this service tells.
    pub fn of_borrowed(span: &SpanRef<'a>, namespace: &'a str, service: &'a str) -> Self {
        let mut peer = Peer::default();
        if span.kind != Kind::Internal {
            for (key, value) in &span.attributes {
                if let ValueRef::Str(text) = value {
                    peer.take(key, text);
                }
            }
        }
        let links = span.links.iter().take(Self::links_of(span.kind));
        Self {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            kind: span.kind,
            start: span.start,
            duration_ns: span.duration_ns,
            error: span.is_error(),
            one_in: Told::one_in(span.trace_state).unwrap_or(1.0),
            namespace,
            service,
            peer,
            links: links.map(|link| (link.trace_id, link.span_id)).collect(),
        }
    }

    fn links_of(kind: Kind) -> usize {
        if kind == Kind::Consumer { Self::LINKS } else { 0 }
    }
}

impl<'a> Peer<'a> {
    /// One walk over the attributes, since lists have no index; of two names of one thing the current one of
    /// OpenTelemetry's conventions wins over the older.
    fn take(&mut self, key: &str, text: &'a str) {
        let (slot, wins) = match key {
            "bellwether.proxy" => {
                self.proxy = true;
                return;
            }
            "bellwether.service" => (&mut self.called, true),
            "bellwether.namespace" => (&mut self.called_namespace, true),
            "db.system.name" => (&mut self.database, true),
            "db.system" => (&mut self.database, false),
            "db.namespace" => (&mut self.database_name, true),
            "db.name" => (&mut self.database_name, false),
            "messaging.system" => (&mut self.messaging, true),
            "messaging.destination.name" => (&mut self.destination, true),
            "messaging.destination" => (&mut self.destination, false),
            "peer.service" => (&mut self.service, true),
            "server.address" => (&mut self.address, true),
            "net.peer.name" | "http.host" => (&mut self.address, false),
            _ => return,
        };
        if !text.is_empty() && (wins || slot.is_none()) {
            *slot = Some(text);
        }
    }
}
