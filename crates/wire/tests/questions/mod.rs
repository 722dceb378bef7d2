//! Series and questions that look like chance, and are the same each time.

/// The beginning of the samples, in seconds.
pub(crate) const BEGIN: i64 = 1_700_000_000;
/// How many samples each series has at most, and their distance in seconds.
const SAMPLES: i64 = 120;
const STEP: i64 = 15;

/// Numbers that look like chance.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// A name, labels, and samples by their seconds.
pub(crate) type Series = (&'static str, Vec<(&'static str, String)>, Vec<(i64, f64)>);

/// Counters that are reset, gauges of all sizes, histograms; with gaps, infinities, and series that end.
pub(crate) fn series() -> Vec<Series> {
    let (mut dice, mut all) = (Dice(42), Vec::new());
    for zone in ["a", "b", "c"] {
        for code in ["200", "500"] {
            let own = vec![("code", code.to_owned()), ("zone", zone.to_owned())];
            let mut counter = 0.0;
            let samples = numbers(&mut dice, |dice| {
                counter = if dice.roll(40) == 0 { 0.0 } else { counter + dice.roll(50) as f64 };
                counter
            });
            all.push(("calls_total", own.clone(), samples));
            let samples = numbers(&mut dice, |dice| match dice.roll(30) {
                0 => f64::INFINITY,
                1 => f64::NEG_INFINITY,
                2 => f64::NAN,
                side => (side as f64 - 15.0) * 10f64.powi(dice.roll(12) as i32 - 6),
            });
            all.push(("level", own, samples));
        }
        let own = vec![("team", format!("t{zone}")), ("zone", zone.to_owned())];
        all.push(("owner", own, numbers(&mut dice, |dice| (1 + dice.roll(3)) as f64)));
        all.extend(buckets(&mut dice, zone));
    }
    all
}

fn numbers(dice: &mut Dice, mut next: impl FnMut(&mut Dice) -> f64) -> Vec<(i64, f64)> {
    let end = if dice.roll(4) == 0 { SAMPLES / 2 } else { SAMPLES };
    let mut all = Vec::new();
    for index in 0..end {
        let value = next(dice);
        if dice.roll(12) > 0 {
            all.push((BEGIN + index * STEP, value));
        }
    }
    all
}

fn buckets(dice: &mut Dice, zone: &str) -> Vec<Series> {
    let mut counts = [0.0; 4];
    let mut samples = [const { Vec::new() }; 4];
    for index in 0..SAMPLES {
        let seen = dice.roll(4);
        for (place, (count, samples)) in counts.iter_mut().zip(&mut samples).enumerate() {
            *count += if place >= seen { 3.0 } else { 0.0 };
            samples.push((BEGIN + index * STEP, *count));
        }
    }
    let named = |(bound, samples): (&str, Vec<(i64, f64)>)| {
        ("seconds_bucket", vec![("le", bound.to_owned()), ("zone", zone.to_owned())], samples)
    };
    ["0.1", "0.5", "2.0", "+Inf"].into_iter().zip(samples).map(named).collect()
}

fn selector(dice: &mut Dice) -> String {
    let names = ["calls_total", "level", "owner", "seconds_bucket", "{__name__=~\"calls.+|level\"}"];
    let name = dice.pick(&names);
    let labels =
        ["", "", "{zone=\"a\"}", "{zone!=\"a\"}", "{zone=~\"a|b\"}", "{code!~\"5..\"}", "{code=\"\"}"];
    let labels = if name.starts_with('{') { "" } else { dice.pick(&labels) };
    let time = dice.pick(&["", "", "", " offset 1m", " offset -1m", " @ 1700000500", " @ end()"]);
    format!("{name}{labels}{time}")
}

/// An expression that gives series, so deep.
pub(crate) fn vector(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return selector(dice);
    }
    let inner = |dice: &mut Dice| vector(dice, depth - 1);
    match dice.roll(12) {
        0 | 1 => over_time(dice),
        2 => format!("{}({})", dice.pick(&EACH), inner(dice)),
        3 => {
            let bound = dice.pick(&["2", "-2", "NaN", "scalar(owner{zone=\"a\"})"]);
            format!("clamp({}, -1, {bound})", inner(dice))
        }
        4 | 5 => {
            let op = dice.pick(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            let by = dice.pick(&["", " by (zone)", " without (zone)", " by (zone, code)", " by (none)"]);
            format!("{op}{by} ({})", inner(dice))
        }
        6 => {
            let ops = ["quantile by (zone) (0.3", "quantile(0.9", "count_values(\"v\"", "quantile(-1"];
            format!("{}, {})", dice.pick(&ops), inner(dice))
        }
        7 => {
            let op = dice.pick(&["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<=", "> bool", "atan2"]);
            let number = dice.pick(&["2", "0", "-1.5", "scalar(owner{zone=\"b\"})"]);
            let comparison = op.contains(['=', '>']);
            let swapped = dice.roll(2) == 0;
            let of = inner(dice);
            if swapped && !comparison {
                format!("({number} {op} {of})")
            } else {
                format!("({of} {op} {number})")
            }
        }
        8 | 9 => {
            let op = dice.pick(&["+", "-", "*", "/", "==", "<", ">= bool", "atan2"]);
            let groups = [" on (zone) group_left ()", " on (zone) group_right (team)"];
            let on = dice.pick(&["", " on (zone)", " ignoring (code)", groups[0], groups[1]]);
            format!("({} {op}{on} {})", inner(dice), inner(dice))
        }
        10 => {
            let op = dice.pick(&["and", "or", "unless"]);
            let on = dice.pick(&["", " on (zone)", " ignoring (code)"]);
            format!("({} {op}{on} {})", inner(dice), inner(dice))
        }
        _ => dice.pick(&WHOLE).to_owned(),
    }
}

fn over_time(dice: &mut Dice) -> String {
    let name = dice.pick(&["calls_total", "level{zone=\"a\"}", "owner", "seconds_bucket"]);
    let ranges = ["[1m]", "[5m]", "[20s]", "[5m] offset 30s", "[2m:15s]", "[3m:]", "[1m] @ 1700000700"];
    format!("{}({name}{})", dice.pick(&OVER_TIME), dice.pick(&ranges))
}

const EACH: [&str; 19] = [
    "abs",
    "ceil",
    "floor",
    "sgn",
    "sqrt",
    "exp",
    "ln",
    "log2",
    "log10",
    "sort",
    "sort_desc",
    "absent",
    "timestamp",
    "minute",
    "day_of_week",
    "days_in_month",
    "round",
    "deg",
    "sin",
];

const OVER_TIME: [&str; 18] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "count_over_time",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "last_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "present_over_time",
    "absent_over_time",
];

/// Expressions as they are.
const WHOLE: [&str; 14] = [
    "histogram_quantile(0.9, sum by (le, zone) (rate(seconds_bucket[2m])))",
    "histogram_quantile(0.2, seconds_bucket)",
    "label_replace(calls_total, \"to\", \"$1x\", \"zone\", \"([ab])\")",
    "label_join(level, \"to\", \"-\", \"zone\", \"code\")",
    "predict_linear(calls_total[3m], 600)",
    "quantile_over_time(0.7, calls_total[3m])",
    "holt_winters(owner[5m], 0.3, 0.6)",
    "vector(time())",
    "-calls_total",
    "max_over_time(rate(calls_total[1m])[5m:30s] offset 1m)",
    "sum_over_time(minute()[10m:1m])",
    "topk by (zone) (1, calls_total)",
    "bottomk(3, calls_total)",
    "sum(calls_total @ start()) / 3 + 2 ^ 3",
];
