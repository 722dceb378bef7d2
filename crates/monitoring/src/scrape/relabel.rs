//! Relabelling, as Prometheus defines it for targets and for samples.

use std::sync::Arc;

use regex::Regex;

use crate::series::{Labels, LabelsBuilder, MatcherError, anchored, is_label_name};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the replacement where the expression matches.
    Replace,
    /// Drops what the expression does not match.
    Keep,
    /// Drops what it matches.
    Drop,
    /// Drops what differs from the target label.
    KeepEqual,
    /// Drops what is the target label's value.
    DropEqual,
    /// Copies the labels whose names match to the name that the replacement gives.
    LabelMap,
    /// Removes the labels whose names match.
    LabelDrop,
    /// Removes the labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// And in upper case.
    Uppercase,
}

impl Action {
    /// The action of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "replace" => Self::Replace,
            "keep" => Self::Keep,
            "drop" => Self::Drop,
            "keepequal" => Self::KeepEqual,
            "dropequal" => Self::DropEqual,
            "labelmap" => Self::LabelMap,
            "labeldrop" => Self::LabelDrop,
            "labelkeep" => Self::LabelKeep,
            "lowercase" => Self::Lowercase,
            "uppercase" => Self::Uppercase,
            _ => return None,
        })
    }
}

/// Why a rule cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The expression is none.
    #[error("regex: {0}")]
    Regex(#[from] MatcherError),
    /// The action writes to a label and none is named.
    #[error("target_label: this action needs one, which is the name of a label")]
    Target,
}

/// One step of relabelling.
#[derive(Debug, Clone)]
pub struct Rule {
    action: Action,
    sources: Vec<String>,
    separator: String,
    regex: Regex,
    target: String,
    replacement: String,
}

impl Rule {
    /// A rule with Prometheus' defaults where nothing is given.
    ///
    /// # Errors
    /// For an expression that is none, and for a target that is missing.
    pub fn new(
        action: Action,
        sources: Vec<String>,
        separator: Option<String>,
        regex: Option<&str>,
        target: Option<String>,
        replacement: Option<String>,
    ) -> Result<Self, RuleError> {
        use Action::{DropEqual, KeepEqual, Lowercase, Replace, Uppercase};
        let target = target.unwrap_or_default();
        // A name may be put together from what was matched, so that only some of it can be judged now.
        let may_be_name = is_label_name(&target) || action == Replace && target.contains('$');
        if matches!(action, Replace | KeepEqual | DropEqual | Lowercase | Uppercase) && !may_be_name {
            return Err(RuleError::Target);
        }
        Ok(Self {
            action,
            sources,
            separator: separator.unwrap_or_else(|| ";".to_owned()),
            regex: anchored(regex.unwrap_or("(.*)"))?,
            target,
            replacement: replacement.unwrap_or_else(|| "$1".to_owned()),
        })
    }

    /// Whether what has these labels stays.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let sources = self.sources.iter().map(|name| labels.get(name));
        let source = sources.collect::<Vec<_>>().join(&self.separator);
        match self.action {
            Action::Keep => return self.regex.is_match(&source),
            Action::Drop => return !self.regex.is_match(&source),
            Action::KeepEqual => return labels.get(&self.target) == source,
            Action::DropEqual => return labels.get(&self.target) != source,
            Action::Lowercase => set(labels, &self.target, &source.to_lowercase()),
            Action::Uppercase => set(labels, &self.target, &source.to_uppercase()),
            Action::LabelDrop => drop(labels.keep(|name| !self.regex.is_match(name))),
            Action::LabelKeep => drop(labels.keep(|name| self.regex.is_match(name))),
            Action::LabelMap => {
                for label in labels.clone().build().as_slice() {
                    if let Some(name) = self.expanded(&label.name, &self.replacement) {
                        set(labels, &name, &label.value);
                    }
                }
            }
            Action::Replace => {
                if let (Some(name), Some(value)) =
                    (self.expanded(&source, &self.target), self.expanded(&source, &self.replacement))
                {
                    set(labels, &name, &value);
                }
            }
        }
        true
    }

    /// A template with what was matched put into it; none where nothing matched.
    fn expanded(&self, text: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut expanded = String::new();
        captures.expand(template, &mut expanded);
        Some(expanded)
    }
}

/// Sets a label; a name that is none sets nothing.
fn set(labels: &mut LabelsBuilder, name: &str, value: &str) {
    if is_label_name(name) {
        labels.set(Arc::from(name), Arc::from(value));
    }
}

/// Labels after all rules; none where they were dropped.
#[must_use]
pub fn relabelled(mut labels: LabelsBuilder, rules: &[Rule]) -> Option<Labels> {
    rules.iter().all(|rule| rule.apply(&mut labels)).then(|| labels.build())
}
