//! Where settings come from: the file, the environment, the flags.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::ErrorKind,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};
use wire::native::{
    nearest,
    problem::{Code, Problem},
};

use super::{
    flags::Flags,
    settings::{SETTINGS, Setting, named},
    value::FromSetting,
};

/// What all of our variables begin with.
const PREFIX: &str = "BELLWETHER_";

/// The file that is read without being named.
const FILE: &str = "bellwether.toml";

/// No configuration is longer than this.
const FILE_BYTES: u64 = 1 << 20;

/// The environment of the process, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(crate) fn of_this_process() -> Self {
        // What is not UTF-8 can be none of ours, since all of our values are.
        Self(
            env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// What the help speaks of: somebody's home.
    pub(crate) fn of_somebody() -> Self {
        Self::of(&[("HOME", "~")])
    }

    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Where data lives by default, as the XDG base directories have it: the same folder from wherever
    /// the process is started. Without a home it is a folder of the place where it is started.
    pub(crate) fn data_folder(&self) -> Option<String> {
        let home = |below: &str| self.get("HOME").map(|home| format!("{home}/{below}"));
        let data = self.get("XDG_DATA_HOME").filter(|path| path.starts_with('/')).map(str::to_owned);
        let base = data.or_else(|| home(".local/share"));
        Some(base.map_or("bellwether-data".to_owned(), |base| format!("{base}/bellwether")))
    }
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nowhere.
    Default,
    /// In the file.
    File { path: PathBuf, line: usize, column: usize },
    /// In this variable.
    Environment(String),
    /// As this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The texts that hold, each with its origin.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    found: BTreeMap<&'static str, (String, Origin)>,
}

impl Sources {
    /// Reads all of them. A key that nobody knows is an error.
    pub(crate) fn read(flags: &Flags, environment: &Environment) -> Result<Self, Problem> {
        let mut found: BTreeMap<&'static str, (String, Origin)> = BTreeMap::new();
        for setting in SETTINGS {
            if let Some(text) = (setting.default)(environment) {
                found.insert(setting.key, (text, Origin::Default));
            }
        }
        found.extend(from_file(flags.config.as_deref())?);
        found.extend(from_environment(environment)?);
        for (key, (flag, text)) in &flags.given {
            found.insert(key, (text.clone(), Origin::Flag(flag.clone())));
        }
        Ok(Self { found })
    }

    /// The text of a setting and where it comes from.
    pub(crate) fn get(&self, key: &str) -> (&str, Origin) {
        match self.found.get(key) {
            Some((text, origin)) => (text, origin.clone()),
            None => ("", Origin::Default),
        }
    }

    /// What the setting's text means.
    pub(crate) fn value<T: FromSetting>(&self, key: &str) -> Result<T, Problem> {
        let (text, origin) = self.get(key);
        T::from_setting(text).map_err(|rule| {
            let secret = named(key).is_some_and(Setting::is_secret);
            let shown: String = text.chars().take(64).collect();
            let shown = if secret { "(secret)".to_owned() } else { format!("\"{}\"", shown.escape_debug()) };
            let code = match origin {
                Origin::Flag(_) => Code::InvalidArgument,
                _ => Code::InvalidSetting,
            };
            Problem::new(code, format!("{key} = {shown} is not valid: {rule}")).at(origin.to_string())
        })
    }

    /// How strong the place is where a setting was given; the same for two settings of the same place.
    pub(crate) fn rank(&self, key: &str) -> u8 {
        match self.get(key).1 {
            Origin::Default => 0,
            Origin::File { .. } => 1,
            Origin::Environment(_) => 2,
            Origin::Flag(_) => 3,
        }
    }

    /// That a setting does not go together with another.
    pub(crate) fn conflict(&self, key: &str, detail: &str) -> Problem {
        Problem::new(Code::ConflictingSettings, detail.to_owned()).at(self.get(key).1.to_string())
    }
}

type Given = Vec<(&'static str, (String, Origin))>;

fn from_environment(environment: &Environment) -> Result<Given, Problem> {
    let mut given = Given::new();
    for (name, text) in &environment.0 {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        if key == "CONFIG" || is_of_kubernetes(key) {
            continue;
        }
        let known = SETTINGS.iter().find(|setting| setting.key == key.to_ascii_lowercase());
        let Some(setting) = known.filter(|setting| setting.variable() == *name) else {
            let variables: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
            let shown: String = name.chars().take(64).collect();
            let detail = format!("no setting has the environment variable {}", shown.escape_debug());
            let meant = nearest(name, variables.iter().map(String::as_str));
            return Err(unknown(detail, meant).at(shown));
        };
        // An empty variable is how shells and compose files say that there is none.
        if !text.is_empty() {
            given.push((setting.key, (text.clone(), Origin::Environment(name.clone()))));
        }
    }
    Ok(given)
}

/// Kubernetes describes each of its services to each container in variables named after the service. One
/// that is called `bellwether` must not keep us from starting.
fn is_of_kubernetes(key: &str) -> bool {
    key == "SERVICE_HOST" || key.starts_with("SERVICE_PORT") || key == "PORT" || key.starts_with("PORT_")
}

fn from_file(named_file: Option<&str>) -> Result<Given, Problem> {
    let path = Path::new(named_file.unwrap_or(FILE));
    let unreadable = |why: String| {
        Problem::new(Code::ConfigurationUnreadable, format!("{} cannot be read: {why}", path.display()))
    };
    let text = match fs::metadata(path) {
        Ok(file) if file.len() > FILE_BYTES => {
            return Err(unreadable(format!("it is larger than {FILE_BYTES} bytes")));
        }
        Ok(_) => fs::read_to_string(path),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => from_toml(&text, path),
        Err(error) if error.kind() == ErrorKind::NotFound && named_file.is_none() => Ok(Given::new()),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn from_toml(text: &str, path: &Path) -> Result<Given, Problem> {
    let origin = |span: Range<usize>| {
        let (line, column) = place(text, span.start);
        Origin::File { path: path.to_owned(), line, column }
    };
    let table = DeTable::parse(text).map_err(|error| {
        let detail = error.message().to_owned();
        Problem::new(Code::ConfigurationMalformed, detail)
            .at(origin(error.span().unwrap_or(0..0)).to_string())
    })?;
    let mut given = Given::new();
    for (key, value) in table.get_ref() {
        let Some(setting) = named(key.get_ref()) else {
            let shown: String = key.get_ref().chars().take(64).collect();
            let detail = format!("no setting is called \"{}\"", shown.escape_debug());
            let meant = nearest(key.get_ref(), SETTINGS.iter().map(|setting| setting.key));
            return Err(unknown(detail, meant).at(origin(key.span()).to_string()));
        };
        let at = origin(value.span());
        let text = match value.get_ref() {
            DeValue::Table(table) if setting.is_table() => pairs(table),
            other => plain(other),
        };
        let Some(text) = text else {
            let detail = format!("{} cannot be a {}", setting.key, value.get_ref().type_str());
            return Err(Problem::new(Code::InvalidSetting, detail).at(at.to_string()));
        };
        given.push((setting.key, (text, at)));
    }
    Ok(given)
}

/// A value as the text that it would be in the environment.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// A table of plain values as the list of `key=value` that it would be in the environment.
fn pairs(table: &DeTable<'_>) -> Option<String> {
    let pair = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        let value = match value.get_ref() {
            DeValue::Float(number) => number.as_str().to_owned(),
            other => plain(other)?,
        };
        Some(format!("{key}={value}"))
    };
    let pairs: Option<Vec<String>> = table.iter().map(pair).collect();
    pairs.map(|pairs| pairs.join(","))
}

fn unknown(detail: String, meant: Option<&str>) -> Problem {
    let problem = Problem::new(Code::UnknownKey, detail);
    match meant {
        Some(meant) => problem.next(format!("did you mean {meant}?")),
        None => problem.next("see all settings with `bellwether config show`"),
    }
}

/// Line and column of a byte, both from 1; columns count characters.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
