//! From what an owner writes to a registration.
//!
//! The bounds are the registry's own; what is added here is the place of a mistake, which only this
//! dialect has. `place` is where a body stands in its request: nowhere, or `/instances/17`.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use identity::{Invalid, duration};
use registry::{Check, Host, Probe, Registration, WEIGHT_DEFAULT};
use wire::native::{
    api, decode,
    problem::{Code, Problem},
};

use super::extract::invalid;
use crate::problems;

/// Where a body stands in its request. It is put into words for a mistake only.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// It is all that there is.
    Whole,
    /// It is one of many.
    Item(usize),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Whole => Ok(()),
            Place::Item(at) => write!(f, "/instances/{at}"),
        }
    }
}

/// What an owner says of its instance.
///
/// # Errors
/// The first member that breaks a rule, with its place.
pub(super) fn read(body: api::RegistrationBody<'_>, place: Place) -> Result<Registration, Problem> {
    let misfit = |error: &Invalid| problems::invalid(error).at(format!("{place}/{}", error.what()));
    let host = Host::parse(&body.address).map_err(|error| misfit(&error))?;
    let checks = body.checks.into_iter().enumerate();
    let checks = checks.map(|(at, body)| check(body, &format_args!("{place}/checks/{at}")));
    let registration = Registration {
        zone: body.zone.map(Into::into),
        version: body.version.map(Into::into),
        weight: body.weight.unwrap_or(WEIGHT_DEFAULT),
        metadata: body.metadata.into_iter().collect(),
        ttl: period(body.ttl.as_deref(), &place, "ttl")?.map(Into::into),
        deregister_after: period(body.deregister_after.as_deref(), &place, "deregister_after")?
            .map(Into::into),
        checks: checks.collect::<Result<_, _>>()?,
        warm_up: period(body.warm_up.as_deref(), &place, "warm_up")?.map(Into::into),
        ..Registration::new(host, body.port)
    };
    match registration.check() {
        Ok(()) => Ok(registration),
        // Whatever else is wrong, the metadata's mistake has a place of its own.
        Err(error) => Err(match registration.metadata.check() {
            Ok(_) => misfit(&error),
            Err((name, error)) => {
                let problem = problems::invalid(&error);
                match error.what() {
                    // A key that breaks its rule is no good place to point at.
                    "metadata key" => problem.at(format!("{place}/metadata")),
                    _ => problem.at(format!("{place}/metadata/{}", decode::escaped(name))),
                }
            }
        }),
    }
}

fn check(body: api::CheckBody, place: &dyn Display) -> Result<Check, Problem> {
    let probe = match (body.http, body.tcp, body.grpc) {
        (Some(path), None, None) => Probe::Http { path: path.into() },
        (None, Some(true), None) => Probe::Tcp,
        (None, None, Some(api::GrpcService(service))) => Probe::Grpc { service: service.into() },
        (None, Some(false), None) => {
            return Err(invalid(&format!("{place}/tcp"), "tcp false is not valid: true, or nothing"));
        }
        (None, None, None) => {
            let detail = "a check says one of http, tcp and grpc";
            return Err(Problem::new(Code::MissingField, detail).at(place.to_string()));
        }
        _ => {
            return Err(invalid(
                &place.to_string(),
                "a check says one of http, tcp and grpc; make one of each",
            ));
        }
    };
    let usual = Check::new(probe);
    let interval = period(body.interval.as_deref(), place, "interval")?.unwrap_or(usual.interval);
    let check = Check {
        port: body.port,
        interval,
        timeout: period(body.timeout.as_deref(), place, "timeout")?.unwrap_or(usual.timeout.min(interval)),
        success_threshold: body.success_threshold.unwrap_or(usual.success_threshold),
        failure_threshold: body.failure_threshold.unwrap_or(usual.failure_threshold),
        ..usual
    };
    check.check().map_err(|error| {
        let field = error.what().trim_start_matches("check ");
        problems::invalid(&error).at(format!("{place}/{field}"))
    })?;
    Ok(check)
}

fn period(text: Option<&str>, place: &dyn Display, field: &str) -> Result<Option<Duration>, Problem> {
    let period = text.map(duration::parse).transpose();
    period.map_err(|error| invalid(&format!("{place}/{field}"), error))
}
