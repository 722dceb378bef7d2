//! What an expression asks of spans, in the two forms in which they come: with memory of their own, and borrowed.

use super::{Facts, Key, Owner};
use crate::{
    Attributes, Resource, Scope, Span, StatusCode, Value,
    borrowed::{SpanRef, ValueRef},
};

impl Facts for Span {
    fn any(&self, key: &Key, test: &mut dyn FnMut(&ValueRef<'_>) -> bool) -> bool {
        let own = |attributes: &Attributes, name: &str| attributes.get(name).cloned();
        match key {
            Key::Service => self.concerns().any(|(_, service)| test(&ValueRef::Str(service))),
            Key::Namespace => self.concerns().any(|(namespace, _)| test(&ValueRef::Str(namespace))),
            Key::Operation => test(&ValueRef::Str(&self.name)),
            Key::Kind => test(&ValueRef::Str(self.kind.as_str())),
            Key::Status => test(&ValueRef::Str(self.status.code.as_str())),
            Key::StatusMessage => {
                !self.status.message.is_empty() && test(&ValueRef::Str(&self.status.message))
            }
            Key::Duration => test(&ValueRef::Int(i64::try_from(self.duration_ns).unwrap_or(i64::MAX))),
            Key::Error => test(&ValueRef::Bool(self.is_error())),
            Key::Event => self.events.iter().any(|event| test(&ValueRef::Str(&event.name))),
            Key::Attribute { of, name } => {
                let found = match of {
                    Owner::Span => own(&self.attributes, name),
                    Owner::Resource => own(&self.resource.attributes, name),
                    Owner::Scope => own(&self.scope.attributes, name),
                    Owner::Either => {
                        own(&self.attributes, name).or_else(|| own(&self.resource.attributes, name))
                    }
                };
                found.is_some_and(|value: Value| test(&ValueRef::from(&value)))
            }
        }
    }

    fn contains(&self, text: &str) -> bool {
        self.name.contains(text)
            || self.service().contains(text)
            || self.status.message.contains(text)
            || self.attributes.iter().any(|(_, value)| value.contains(text))
            || self.events.iter().any(|event| event.name.contains(text))
    }
}

/// A span that borrows its texts, with the resource and the library that recorded it.
#[derive(Debug, Clone, Copy)]
pub struct Borrowed<'a> {
    /// The span.
    pub span: &'a SpanRef<'a>,
    /// Its resource.
    pub resource: &'a Resource,
    /// Its library.
    pub scope: &'a Scope,
}

impl Facts for Borrowed<'_> {
    fn any(&self, key: &Key, test: &mut dyn FnMut(&ValueRef<'_>) -> bool) -> bool {
        let Self { span, resource, scope } = self;
        let mut text = |text: &str| test(&ValueRef::Str(text));
        match key {
            Key::Service => {
                text(resource.service()) || span.called().is_some_and(|(_, service)| text(service))
            }
            Key::Namespace => {
                text(resource.namespace()) || span.called().is_some_and(|(namespace, _)| text(namespace))
            }
            Key::Operation => text(span.name),
            Key::Kind => text(span.kind.as_str()),
            Key::Status => text(StatusCode::as_str(span.status)),
            Key::StatusMessage => !span.status_message.is_empty() && text(span.status_message),
            Key::Duration => test(&ValueRef::Int(i64::try_from(span.duration_ns).unwrap_or(i64::MAX))),
            Key::Error => test(&ValueRef::Bool(span.is_error())),
            Key::Event => span.events.iter().any(|event| text(event.name)),
            Key::Attribute { of, name } => {
                if matches!(of, Owner::Span | Owner::Either)
                    && let Some(value) = span.get(name)
                {
                    return test(value);
                }
                let value = match of {
                    Owner::Span => None,
                    Owner::Resource | Owner::Either => resource.attributes.get(name),
                    Owner::Scope => scope.attributes.get(name),
                };
                value.is_some_and(|value| test(&ValueRef::from(value)))
            }
        }
    }

    fn contains(&self, text: &str) -> bool {
        let Self { span, resource, .. } = self;
        span.name.contains(text)
            || resource.service().contains(text)
            || span.status_message.contains(text)
            || span.attributes.iter().any(|(_, value)| value.contains(text))
            || span.events.iter().any(|event| event.name.contains(text))
    }
}
