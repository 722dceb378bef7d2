//! Paths and queries, put together so that no name can change what they mean.

use std::fmt;

/// A path with its query.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    path: String,
    query: String,
}

impl Path {
    /// The root of the native API.
    pub(crate) fn v1() -> Self {
        Self { path: "/bellwether/v1".to_owned(), query: String::new() }
    }

    /// The root of Prometheus' API.
    pub(crate) fn prometheus() -> Self {
        Self { path: "/api/v1".to_owned(), query: String::new() }
    }

    /// Goes one step down.
    #[must_use]
    pub(crate) fn segment(mut self, text: &str) -> Self {
        self.path.push('/');
        self.path.push_str(&escaped(text));
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(&format!("{}={}", escaped(name), escaped(value)));
        self
    }

    /// Adds a parameter that may be absent.
    #[must_use]
    pub(crate) fn maybe(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, &value.to_string()),
            None => self,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path, self.query)
    }
}

/// RFC 3986: everything but the unreserved characters is written as its bytes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn no_name_can_leave_its_place() {
        let path = Path::v1().segment("a/../b").query("q", "x&y=1 #?").maybe("none", None::<u8>);
        assert_eq!(path.to_string(), "/bellwether/v1/a%2F..%2Fb?q=x%26y%3D1%20%23%3F");
    }
}
