//! "Did you mean …?": the known word that comes nearest to one that is not known.
//!
//! Jaro-Winkler and not an edit distance, since it favours a common beginning, which is what people
//! get right when they mistype a key or a name.

/// Below this likeness (0 to 1) a suggestion confuses more than it helps.
const LIKENESS: f64 = 0.8;

/// A word longer than this is no typing error, and comparing it costs more than it tells.
const WORD_BYTES: usize = 128;

/// The candidate that comes nearest to `word`, if one is near enough to be meant.
///
/// ```
/// use wire::native::nearest;
/// assert_eq!(nearest("adress", ["address", "port", "zone"]), Some("address"));
/// assert_eq!(nearest("colour", ["address", "port", "zone"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let word = plain(word);
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let likeness = strsim::jaro_winkler(&word, &plain(candidate));
        if likeness >= LIKENESS && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}
