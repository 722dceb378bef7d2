//! What a setting's text can mean.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use identity::{Invalid, Namespace, ProxyId, duration, size};
use registry::Networks;
use traces::{propagation::Formats, sampling::Ratio};

/// A value that is read from the text of a setting. The error is the rule that was broken.
pub(crate) trait FromSetting: Sized {
    /// How the value is called in the help.
    const VALUE: &'static str;

    fn from_setting(text: &str) -> Result<Self, String>;
}

impl FromSetting for SocketAddr {
    const VALUE: &'static str = "ADDRESS";

    fn from_setting(text: &str) -> Result<Self, String> {
        // The only name that means the same everywhere.
        let text =
            text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
        text.parse().map_err(|_| {
            "an IP address and a port are needed, such as 127.0.0.1:2355 or [::1]:2355".to_owned()
        })
    }
}

impl FromSetting for PathBuf {
    const VALUE: &'static str = "PATH";

    fn from_setting(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path is needed".to_owned()) } else { Ok(text.into()) }
    }
}

impl FromSetting for bool {
    const VALUE: &'static str = "true|false";

    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false is needed".to_owned()),
        }
    }
}

impl FromSetting for Duration {
    const VALUE: &'static str = "DURATION";

    fn from_setting(text: &str) -> Result<Self, String> {
        duration::parse(text).map_err(|invalid| invalid.rule().to_owned())
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromSetting for Size {
    const VALUE: &'static str = "SIZE";

    fn from_setting(text: &str) -> Result<Self, String> {
        size::parse(text).map(Self).map_err(|invalid| invalid.rule().to_owned())
    }
}

impl FromSetting for usize {
    const VALUE: &'static str = "NUMBER";

    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "a whole number is needed, such as 10000".to_owned())
    }
}

impl FromSetting for Formats {
    const VALUE: &'static str = "FORMATS";

    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|invalid: identity::Invalid| invalid.rule().to_owned())
    }
}

impl FromSetting for Ratio {
    const VALUE: &'static str = "SHARE";

    fn from_setting(text: &str) -> Result<Self, String> {
        let share = text.parse().ok().and_then(Self::new);
        share.ok_or_else(|| "a number from 0 to 1 is needed, such as 0.01 for one in a hundred".to_owned())
    }
}

impl FromSetting for Namespace {
    const VALUE: &'static str = "NAME";

    fn from_setting(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|invalid| invalid.rule().to_owned())
    }
}

impl FromSetting for ProxyId {
    const VALUE: &'static str = "ID";

    fn from_setting(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|invalid| invalid.rule().to_owned())
    }
}

impl<T: FromSetting> FromSetting for Option<T> {
    const VALUE: &'static str = T::VALUE;

    fn from_setting(text: &str) -> Result<Self, String> {
        // A variable that is set to nothing means the same as one that is not set.
        if text.is_empty() { Ok(None) } else { T::from_setting(text).map(Some) }
    }
}

/// Names, separated by commas; in the file also a list.
impl FromSetting for Vec<String> {
    const VALUE: &'static str = "NAME,…";

    fn from_setting(text: &str) -> Result<Self, String> {
        let names: Vec<String> =
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let sound = |name: &String| name.len() <= 253 && name.bytes().all(|b| b.is_ascii_graphic());
        if names.iter().all(sound) {
            Ok(names)
        } else {
            Err("host names are needed, separated by commas".to_owned())
        }
    }
}

/// Networks, separated by commas; in the file also a list. None at all would let nobody in, and is more
/// likely a mistake.
impl FromSetting for Networks {
    const VALUE: &'static str = "NETWORK,…";

    fn from_setting(text: &str) -> Result<Self, String> {
        text.parse().map_err(|invalid: Invalid| invalid.to_string())
    }
}

/// Where the gateway listens, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    Off,
    At(SocketAddr),
}

impl FromSetting for Gateway {
    const VALUE: &'static str = "ADDRESS";

    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => SocketAddr::from_setting(text)
                .map(Self::At)
                .map_err(|rule| format!("{rule}; or off for no gateway")),
        }
    }
}

/// Something that is not shown, neither in the log nor by `config show`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The only way to the text; for the header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromSetting for Secret {
    const VALUE: &'static str = "TOKEN";

    fn from_setting(text: &str) -> Result<Self, String> {
        let sound = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err("a token has printable ASCII characters only".to_owned())
        }
    }
}

/// What is written to the log: a level, or several by part, as `tracing` reads them.
impl FromSetting for tracing_subscriber::EnvFilter {
    const VALUE: &'static str = "LEVEL";

    fn from_setting(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|_| {
            "error, warn, info, debug, trace or off is needed, also by part, such as info,proxy=debug"
                .to_owned()
        })
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

impl FromSetting for LogFormat {
    const VALUE: &'static str = "text|json|auto";

    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text, json or auto is needed".to_owned()),
        }
    }
}

/// Whether spans are also taken where senders of OTLP look for somebody who does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtlpPorts {
    /// Beside the control plane's usual address.
    Auto,
    On,
    Off,
}

impl FromSetting for OtlpPorts {
    const VALUE: &'static str = "on|off|auto";

    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("on, off or auto is needed".to_owned()),
        }
    }
}

/// Which instances are asked for metrics.
impl FromSetting for server::Instances {
    const VALUE: &'static str = "all|annotated|off";

    fn from_setting(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "annotated" => Ok(Self::Annotated),
            "off" => Ok(Self::Off),
            _ => Err("all, annotated or off is needed".to_owned()),
        }
    }
}

/// The address of a control plane: scheme, host and port, nothing behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Url {
    pub(crate) fn of(address: SocketAddr, tls: bool) -> Self {
        Self { tls, host: address.ip().to_string(), port: address.port() }
    }

    /// `host:port`, as it stands in a Host header.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl FromSetting for Url {
    const VALUE: &'static str = "URL";

    fn from_setting(text: &str) -> Result<Self, String> {
        let rule = || "a URL without a path is needed, such as http://127.0.0.1:2355".to_owned();
        let uri: http::Uri = text.parse().map_err(|_| rule())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(rule()),
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(rule)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(rule());
        }
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, digits)) if !digits.ends_with(']') => authority.port_u16().ok_or_else(rule)?,
            _ if tls => 443,
            _ => 80,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() { Err(rule()) } else { Ok(Self { tls, host, port }) }
    }
}
