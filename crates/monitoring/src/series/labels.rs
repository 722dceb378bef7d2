use std::{borrow::Borrow, cmp::Ordering, collections::HashSet, fmt, sync::Arc};

use super::METRIC_NAME;

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// What the label is called.
    pub name: Arc<str>,
    /// What it says; never empty inside of [`Labels`].
    pub value: Arc<str>,
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most labels of series that are compared are the same, and stand at the same place.
        let text = |one: &Arc<str>, other: &Arc<str>| match Arc::ptr_eq(one, other) {
            true => Ordering::Equal,
            false => one.cmp(other),
        };
        text(&self.name, &other.name).then_with(|| text(&self.value, &other.value))
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A set of labels: sorted by name, each name once, no value empty.
///
/// A clone costs a counter. The order is by name, then by value, then the shorter set first.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// Sorts what is given; of a name that comes twice the last one holds, and empty values are left out.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref().into(), value.as_ref().into());
        }
        builder.build()
    }

    /// What is sorted by name already, each name once and no value empty; nothing where it is not.
    #[must_use]
    pub fn sorted(labels: Vec<Label>) -> Option<Self> {
        let is_sorted = labels.is_sorted_by(|one, other| one.name < other.name);
        (is_sorted && labels.iter().all(|label| !label.value.is_empty())).then(|| Self(labels.into()))
    }

    /// The value of a label; empty where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.find(name).map_or("", |label| &label.value)
    }

    /// The label of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Label> {
        // Sets are small, and a scan of few pointers is faster than a search among them.
        self.0.iter().find(|label| &*label.name == name)
    }

    /// The name of the metric; empty where there is none.
    #[must_use]
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// All labels, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Label] {
        &self.0
    }

    /// Whether there is no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The labels for which something holds.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|label| keep(&label.name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|label| keep(&label.name)).cloned().collect())
    }

    /// All labels but the name of the metric.
    #[must_use]
    pub fn without_name(&self) -> Self {
        self.filtered(|name| name != METRIC_NAME)
    }

    /// Begins a changed set.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder(self.0.to_vec())
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

/// As everybody in this field writes a series: `name{label="value"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric())?;
        let rest = self.0.iter().filter(|label| &*label.name != METRIC_NAME);
        let written: Vec<String> = rest.map(|label| format!("{}={:?}", label.name, label.value)).collect();
        if written.is_empty() && !self.metric().is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", written.join(", "))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of labels that is being changed.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder(Vec<Label>);

impl LabelsBuilder {
    /// The value of a label; empty where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|label| &*label.name == name).map_or("", |label| &label.value)
    }

    /// Sets a label, or removes it where the value is empty.
    pub fn set(&mut self, name: Arc<str>, value: Arc<str>) -> &mut Self {
        let place = self.0.binary_search_by(|label| label.name.cmp(&name));
        match (place, value.is_empty()) {
            (Ok(at), true) => drop(self.0.remove(at)),
            (Ok(at), false) => {
                if let Some(label) = self.0.get_mut(at) {
                    label.value = value;
                }
            }
            (Err(_), true) => {}
            (Err(at), false) => self.0.insert(at, Label { name, value }),
        }
        self
    }

    /// Removes the labels for which something does not hold.
    pub fn keep(&mut self, keep: impl Fn(&str) -> bool) -> &mut Self {
        self.0.retain(|label| keep(&label.name));
        self
    }

    /// The finished set.
    #[must_use]
    pub fn build(self) -> Labels {
        Labels(self.0.into())
    }
}

/// Texts that are kept once: label names and values repeat in every series of a service.
#[derive(Debug, Default)]
pub struct Texts(HashSet<Text>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Text(Arc<str>);

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Texts {
    /// The one copy of a text.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(Text(known)) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Text(Arc::clone(&new)));
        new
    }

    /// The same labels, of texts that are kept once.
    pub fn intern_labels(&mut self, labels: &Labels) -> Labels {
        let interned =
            |label: &Label| Label { name: self.intern(&label.name), value: self.intern(&label.value) };
        Labels(labels.0.iter().map(interned).collect())
    }

    /// Forgets the texts that nobody else holds any more.
    pub fn sweep(&mut self) {
        self.0.retain(|Text(text)| Arc::strong_count(text) > 1);
    }

    /// How many texts are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a text is the name of a label: letters, digits and underscores, no digit first.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    let later = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(later)
}

/// Whether a text is the name of a metric: as of a label, and colons.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    let later = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(later)
}
