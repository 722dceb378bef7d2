//! Active checks, as owners ask for them and as readers see them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// A question that is put to an instance again and again: one of `http`, `tcp` and `grpc`. It goes to
/// the instance's own address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// `GET` of this path; every 2xx is a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/healthz")]
    pub http: Option<String>,
    /// A connection that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<bool>,
    /// `grpc.health.v1.Health/Check`: `true` for the server as a whole, or the name of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub grpc: Option<GrpcService>,
    /// The port that is asked, where it is not the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// From one question to the next; ten seconds where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "5s")]
    pub interval: Option<String>,
    /// How long an answer may take, at most the interval; one second where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1s")]
    pub timeout: Option<String>,
    /// Answers in a row that make it pass; 1 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub success_threshold: Option<u32>,
    /// Failures in a row that make it fail; 3 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub failure_threshold: Option<u32>,
}

/// A check of an instance, with what it has found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckState {
    /// What is asked, and how often.
    pub check: CheckBody,
    /// `pending`, `passing` or `failing`.
    pub verdict: String,
    /// Why it fails; nothing where it does not.
    pub why: Option<String>,
}

/// The service that a gRPC check asks for; empty for the server as a whole, which is `true` in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrpcService(pub String);

impl Serialize for GrpcService {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { serializer.serialize_bool(true) } else { serializer.serialize_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for GrpcService {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = GrpcService;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true or the name of a service")
            }

            fn visit_bool<E: de::Error>(self, whole: bool) -> Result<GrpcService, E> {
                if whole {
                    Ok(GrpcService::default())
                } else {
                    Err(E::invalid_value(de::Unexpected::Bool(whole), &self))
                }
            }

            fn visit_str<E: de::Error>(self, service: &str) -> Result<GrpcService, E> {
                Ok(GrpcService(service.to_owned()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
