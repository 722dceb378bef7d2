//! Two texts line by line.
//!
//! The longest common subsequence by the plain table: policies have some dozens of lines. Texts with more
//! lines than [`LINES_MAX`] are shown one after the other.

/// The table has the square of it, in four bytes each.
const LINES_MAX: usize = 2_000;

/// What has to go (`-`) and to come (`+`) to make the one text of the other; what stays is indented.
pub(super) fn lines(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if before.len().max(after.len()) > LINES_MAX {
        return marked('-', &before) + &marked('+', &after);
    }
    // The length of what is common to both from each pair of lines on.
    let width = after.len() + 1;
    let mut common = vec![0_u32; (before.len() + 1) * width];
    for (at, old) in before.iter().enumerate().rev() {
        for (to, new) in after.iter().enumerate().rev() {
            let below = common[(at + 1) * width + to].max(common[at * width + to + 1]);
            common[at * width + to] = if old == new { common[(at + 1) * width + to + 1] + 1 } else { below };
        }
    }
    let (mut at, mut to) = (0, 0);
    let mut text = String::new();
    while at < before.len() || to < after.len() {
        match (before.get(at), after.get(to)) {
            (Some(old), Some(new)) if old == new => {
                text += &marked(' ', &[old]);
                (at, to) = (at + 1, to + 1);
            }
            (Some(old), new)
                if new.is_none() || common[(at + 1) * width + to] >= common[at * width + to + 1] =>
            {
                text += &marked('-', &[old]);
                at += 1;
            }
            (_, new) => {
                text += &marked('+', new.as_slice());
                to += 1;
            }
        }
    }
    text
}

fn marked(mark: char, lines: &[impl std::fmt::Display]) -> String {
    lines.iter().map(|line| format!("{mark}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn what_stays_stays_and_the_rest_goes_and_comes() {
        assert_eq!(lines("a\nb\nc\n", "a\nx\nc\nd\n"), " a\n-b\n+x\n c\n+d\n");
        assert_eq!(lines("", "a\n"), "+a\n");
        assert_eq!(lines("a\n", ""), "-a\n");
        assert_eq!(lines("a\n", "a\n"), " a\n");
        assert_eq!(lines("a\n", &"b\n".repeat(2_001)).lines().count(), 2_002);
    }
}
