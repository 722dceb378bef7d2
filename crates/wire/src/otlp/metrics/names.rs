//! Names of metrics and labels, as Prometheus can have them.

/// How a unit of UCUM is called in a name.
const UNITS: [(&str, &str); 34] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("B", "bytes"),
    ("KB", "kilobytes"),
    ("MB", "megabytes"),
    ("GB", "gigabytes"),
    ("TB", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("kBy", "kilobytes"),
    ("bit", "bits"),
    ("mV", "millivolts"),
    ("kg", "kilograms"),
];

/// How a unit is called after "per".
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
];

/// The unit in words; empty where it says nothing, as what stands in braces does.
pub(super) fn unit(unit: &str) -> String {
    let plain = |text: &str| if text.contains(['{', '}']) { String::new() } else { text.trim().to_owned() };
    let known = |table: &[(&str, &str)], text: &str| {
        table.iter().find(|(short, _)| *short == text).map(|(_, long)| (*long).to_owned())
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (plain(main), plain(per));
    let main = if main == "1" { String::new() } else { known(&UNITS, &main).unwrap_or(main) };
    let per = if per.is_empty() { per } else { format!("per_{}", known(&PER, &per).unwrap_or(per)) };
    [words(&main).join("_"), words(&per).join("_")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

fn words(text: &str) -> Vec<&str> {
    let parts = text.split(|of: char| !of.is_ascii_alphanumeric() && of != ':');
    parts.filter(|part| !part.is_empty()).collect()
}

/// The name of a metric with its unit, and with the ending of its kind.
pub(super) fn metric(name: &str, unit_of: &str, is_counter: bool, is_gauge: bool) -> String {
    let mut all: Vec<String> = words(name).into_iter().map(str::to_owned).collect();
    let unit = unit(unit_of);
    let (main, per) = match unit.split_once("per_") {
        Some((main, per)) => (main.trim_end_matches('_'), per),
        None => (unit.as_str(), ""),
    };
    if !main.is_empty() && !all.iter().any(|word| word == main) {
        all.push(main.to_owned());
    }
    if !per.is_empty() && !all.iter().any(|word| word == per) {
        all.extend(["per".to_owned(), per.to_owned()]);
    }
    if is_counter {
        all.retain(|word| word != "total");
        all.push("total".to_owned());
    }
    if is_gauge && unit_of == "1" {
        all.retain(|word| word != "ratio");
        all.push("ratio".to_owned());
    }
    let name = all.join("_");
    if name.starts_with(|of: char| of.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The name of a label.
pub(super) fn label(key: &str) -> String {
    let letter = |of: char| if of.is_ascii_alphanumeric() { of } else { '_' };
    let name: String = key.chars().map(letter).collect();
    match name.as_bytes() {
        [b'0'..=b'9', ..] => format!("key_{name}"),
        // Names that begin with two are Prometheus' own.
        [b'_', b'_', ..] if key != name => format!("key{name}"),
        [b'_', second, ..] if *second != b'_' => format!("key{name}"),
        _ => name,
    }
}
