//! What owners say: registrations, heartbeats and what is answered to them.

use std::{borrow::Cow, collections::BTreeMap};

use registry::LeaseId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CheckBody;
use crate::native::{decode, problem::Problem};

/// The members of a registration, for those that name their instance in the path and for those that
/// name it in the body.
macro_rules! registrations {
    ($($(#[$attribute:meta])* $field:ident: $type:ty,)*) => {
        /// What an owner says of its instance. All but address and port may be left out. The texts are
        /// those of the request's body: what is kept of them is laid out anew in any case.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct RegistrationBody<'a> {
            $($(#[$attribute])* pub $field: $type,)*
        }

        /// One of many registrations, which says of which instance it is.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct NamedRegistration<'a> {
            /// The service.
            #[serde(borrow)]
            #[schema(example = "cart")]
            pub service: Cow<'a, str>,
            /// The instance's id within the service.
            #[serde(borrow)]
            #[schema(example = "cart-1")]
            pub id: Cow<'a, str>,
            $($(#[$attribute])* pub $field: $type,)*
        }

        impl<'a> NamedRegistration<'a> {
            /// The service, the instance's id, and what is said of it.
            pub fn into_parts(self) -> (Cow<'a, str>, Cow<'a, str>, RegistrationBody<'a>) {
                (self.service, self.id, RegistrationBody { $($field: self.$field,)* })
            }
        }
    };
}

registrations! {
    /// An IP address or DNS name at which the instance listens.
    #[serde(borrow)]
    #[schema(example = "10.0.0.7")]
    address: Cow<'a, str>,
    /// The port.
    #[schema(example = 8080, minimum = 1, maximum = 65535)]
    port: u16,
    /// The failure domain that it runs in.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "decode::optional")]
    zone: Option<Cow<'a, str>>,
    /// The version that it runs.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "decode::optional")]
    version: Option<Cow<'a, str>>,
    /// Its share of the calls; 100 is a full share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 100, maximum = 10000)]
    weight: Option<u32>,
    /// Anything else: at most 64 entries.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "decode::distinct")]
    metadata: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// How long the lease holds without a heartbeat. Without it the instance stays until it is deleted.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "decode::optional")]
    #[schema(example = "15s")]
    ttl: Option<Cow<'a, str>>,
    /// How long after its lease lapsed the instance is forgotten; ten TTLs where it is not given.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "decode::optional")]
    #[schema(example = "150s")]
    deregister_after: Option<Cow<'a, str>>,
    /// What it is asked to find out whether it is healthy: at most 8 checks. With one, the instance
    /// begins as `starting`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "decode::objects")]
    checks: Vec<CheckBody>,
    /// How long it takes from its first call to its full share of them.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "decode::optional")]
    #[schema(example = "30s")]
    warm_up: Option<Cow<'a, str>>,
    /// The lease that the caller holds already, to keep it. `If-Match` says the same.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "decode::optional")]
    lease_id: Option<Cow<'a, str>>,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// To be sent with heartbeats and with the deregistration. None after a dry run that would have
    /// given a new one.
    pub lease_id: Option<String>,
    /// The registry's revision after it.
    pub revision: u64,
    /// Whether the instance was not there before.
    pub created: bool,
}

/// Carries the lease of a heartbeat or a deregistration, where `If-Match` does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseBody {
    /// The lease that the registration answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
}

/// What an operator says that an instance is, whatever its lease and its checks say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideBody {
    /// `up`, `down` or `maintenance`.
    #[schema(example = "maintenance")]
    pub status: String,
    /// Why: people will read it.
    #[schema(example = "kernel update")]
    pub reason: String,
    /// For how long; without it until it is released.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(example = "30m")]
    pub lasts: Option<String>,
}

/// The share of the calls that an instance shall take, whatever its registration says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightBody {
    /// From 0 to 10000, relative to its siblings: 100 is a full share, 0 none.
    #[schema(example = 50, maximum = 10_000)]
    pub weight: u32,
    /// Why: people will read it.
    #[schema(example = "half of the calls to the new version")]
    pub reason: String,
    /// Whether even the last instance that takes calls may get none.
    #[serde(default)]
    pub force: bool,
}

/// The end of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceDeleted {
    /// The registry's revision after it.
    pub revision: u64,
    /// The instances that are gone, by id.
    pub removed: Vec<String>,
    /// Those that another process has registered meanwhile, and that stay.
    pub kept: Vec<String>,
}

/// Many registrations in one request, which share one write to the disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registrations<'a> {
    /// At most 1,000, each instance once.
    #[serde(borrow, deserialize_with = "decode::objects")]
    #[schema(max_items = 1000)]
    pub instances: Vec<NamedRegistration<'a>>,
}

/// What became of many registrations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegisteredAll {
    /// The registry's revision after them.
    pub revision: u64,
    /// One for each registration, in the request's order.
    pub results: Vec<RegistrationResult>,
}

/// What became of one of many registrations: a lease, or why not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegistrationResult {
    /// The service.
    pub service: String,
    /// The instance's id.
    pub id: String,
    /// As after a single registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
    /// Whether the instance was not there before; nothing where it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// Heartbeats of many instances in one request. The texts are those of the request's body, since a
/// server is told of hundreds of thousands a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeats<'a> {
    /// At most 1,000.
    #[serde(borrow, deserialize_with = "decode::objects")]
    #[schema(max_items = 1000)]
    pub heartbeats: Vec<Heartbeat<'a>>,
}

/// A heartbeat of one of many instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat<'a> {
    /// The service.
    #[serde(borrow)]
    #[schema(example = "cart")]
    pub service: Cow<'a, str>,
    /// The instance's id within the service.
    #[serde(borrow)]
    #[schema(example = "cart-1")]
    pub id: Cow<'a, str>,
    /// The lease that the registration answered; without it the scope admin is needed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "lease_text")]
    #[schema(value_type = Option<String>)]
    pub lease_id: Option<LeaseId>,
}

/// What became of many heartbeats.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatsTaken {
    /// Leases that begin anew.
    pub renewed: usize,
    /// The others, in the request's order.
    pub refused: Vec<RefusedHeartbeat>,
}

/// A heartbeat that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefusedHeartbeat {
    /// The service.
    pub service: String,
    /// The instance's id.
    pub id: String,
    /// The code of the problem: `BW-1102` for an instance that has to register again.
    pub code: String,
    /// What happened.
    pub detail: String,
}

/// A lease as its text.
mod lease_text {
    use std::fmt;

    use registry::LeaseId;
    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        lease: &Option<LeaseId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match lease {
            Some(lease) => serializer.collect_str(lease),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<LeaseId>, D::Error> {
        deserializer.deserialize_option(Text)
    }

    struct Text;

    impl<'de> de::Visitor<'de> for Text {
        type Value = Option<LeaseId>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_str(self)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(Some).map_err(E::custom)
        }
    }
}
