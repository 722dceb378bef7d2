use proptest::prelude::*;

use crate::promql::{ExprKind, MAX_DEPTH, MAX_QUERY_BYTES, ParseError, ValueType, ast::*, parse};

#[track_caller]
fn check(source: &str, written: &str) {
    let expr = parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(expr.to_string(), written, "{source}");
    let again = parse(written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.to_string(), written, "written and read again");
}

#[track_caller]
fn refused(source: &str, line: usize, column: usize, says: &str) {
    let error: ParseError = parse(source).expect_err(source);
    assert!(error.message().contains(says), "{source}: {error}");
    assert_eq!((error.line(), error.column()), (line, column), "{source}: {error}");
}

#[test]
fn numbers_are_read_in_every_notation() {
    let number = |source: &str| match parse(source).unwrap().kind {
        ExprKind::Number(number) => number,
        other => panic!("{source}: {other:?}"),
    };
    for (source, value) in [
        ("1", 1.0),
        ("0x1F", 31.0),
        ("0X1f", 31.0),
        ("010", 8.0),
        ("08", 8.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("-1", -1.0),
        ("--1", 1.0),
        ("+Inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
    ] {
        assert_eq!(number(source), value, "{source}");
    }
    assert!(number("nAn").is_nan());
    for bad in ["1e", "0x", "1_000", "12abc", "1e400", "0x1.8", "5mm", "1.5m", "1s1m", "1m1m"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn operators_bind_as_tightly_as_they_should() {
    let tree = |source: &str| {
        fn show(expr: &crate::promql::Expr) -> String {
            match &expr.kind {
                ExprKind::Binary(binary) => {
                    format!("({} {} {})", show(&binary.left), binary.op, show(&binary.right))
                }
                ExprKind::Unary(_, inner) => format!("-{}", show(inner)),
                _ => expr.to_string(),
            }
        }
        show(&parse(source).unwrap())
    };
    for (source, shown) in [
        ("1 + 2 * 3 ^ 4 ^ 5", "(1 + (2 * (3 ^ (4 ^ 5))))"),
        ("a - b - c", "((a - b) - c)"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a == b + c", "(a == (b + c))"),
        ("-a ^ b", "-(a ^ b)"),
        ("-a * b", "(-a * b)"),
        ("2 ^ -a * 3", "((2 ^ -a) * 3)"),
        ("a % b atan2 c / d", "(((a % b) atan2 c) / d)"),
        ("-1 ^ 2", "-(1 ^ 2)"),
    ] {
        assert_eq!(tree(source), shown, "{source}");
    }
}

#[test]
fn what_is_read_is_written_in_one_way() {
    check("sum(a)by(x,y)", "sum by (x, y) (a)");
    check("SUM BY (x,) (a)", "sum by (x) (a)");
    check("count(a) without ()", "count without () (a)");
    check("topk by (x) (5, a)", "topk by (x) (5, a)");
    check("a+ignoring(x)group_left(y,z)b", "a + ignoring (x) group_left (y, z) b");
    check("a * on () group_right b", "a * on () group_right () b");
    check("a > bool on(x) b", "a > bool on (x) b");
    check(
        "a{x='1',y!=\"2\",z=~`\\d+`,}[5m]offset -90s@ 1.5",
        r#"a{x="1",y!="2",z=~"\\d+"}[5m] @ 1.500 offset -1m30s"#,
    );
    check("rate(a[5m])[1h:] @ end() offset 1d", "rate(a[5m])[1h:] @ end() offset 1d");
    check("a[1h:30s] @ start()", "a[1h:30s] @ start()");
    check("{__name__=\"a\"}", "{__name__=\"a\"}");
    check("{__name__=~\"b.+\"}  # a comment", "{__name__=~\"b.+\"}");
    check("{\"with.dots\",\"a b\"='c'}", "{\"with.dots\",\"a b\"=\"c\"}");
    check("((a))", "((a))");
    check("\"\\u00e9\\x41\\101\\n\"", "\"éAA\\n\"");
    check("label_replace(a, 'b', \"c\", `d`, '.*')", r#"label_replace(a, "b", "c", "d", ".*")"#);
    check("1e100 * -0.00001 + 1e20", "1e+100 * -1e-05 + 100000000000000000000");
    check(":a:b", ":a:b");
}

#[test]
fn words_with_a_meaning_can_be_names_too() {
    for name in
        ["sum", "by", "without", "offset", "start", "end", "and", "or", "unless", "topk", "rate", "time"]
    {
        check(name, name);
        check(&format!("{name}{{a=\"b\"}}"), &format!("{name}{{a=\"b\"}}"));
    }
    check("sum by (on, bool, group_left, ignoring, atan2, sum, offset, start) (a)", {
        "sum by (on, bool, group_left, ignoring, atan2, sum, offset, start) (a)"
    });
    check("a{on=\"1\",inf=\"2\",sum=\"3\"}", "a{inf=\"2\",on=\"1\",sum=\"3\"}");
    check("start offset 5m", "start offset 5m");
    for word in ["bool", "on", "ignoring", "group_left", "atan2"] {
        assert!(parse(word).is_err(), "{word}");
    }
}

#[test]
fn an_error_points_at_the_character_and_says_what_was_expected() {
    refused("", 1, 1, "empty");
    refused("sum(a", 1, 6, "expected an operator, a comma or a closing parenthesis");
    refused("a{b=c}", 1, 5, "unexpected name c, expected a string in quotes");
    refused("a{b 'c'}", 1, 5, "expected one of = != =~ !~");
    refused("a{'b' 'c'}", 1, 7, "expected one of");
    refused("a{b='c'", 1, 8, "expected a comma or a closing brace");
    refused("a{b=~'('}", 1, 6, "invalid regular expression");
    refused("a +\n  * b", 2, 3, "unexpected operator *, expected an expression");
    refused("a b", 1, 3, "unexpected name b, expected an operator or the end");
    refused(
        "rate(a)",
        1,
        6,
        "expects a value of type range vector here, and this is a instant vector, add a range",
    );
    refused("rate(a[5])", 1, 8, "unexpected number 5, expected a duration");
    refused("a[0s]", 1, 3, "greater than 0");
    refused("a[5m", 1, 5, "expected a colon or a closing bracket");
    refused("sum(1)", 1, 5, "type instant vector here, and this is a scalar, vector(…)");
    refused("rat(a[5m])", 1, 1, "did you mean rate?");
    refused("Sum_over_time(a[5m])", 1, 1, "did you mean sum_over_time?");
    refused("time(1)", 1, 5, "time takes 0 arguments, and was given 1");
    refused("label_join(a)", 1, 11, "label_join takes at least 3 arguments");
    refused("topk(a)", 1, 5, "topk takes a parameter and an instant vector");
    refused("topk('a', a)", 1, 6, "type scalar");
    refused("sum(a,)", 1, 7, "expected another argument after the comma");
    refused("1 == 1", 1, 3, "needs bool");
    refused("1 and a", 1, 3, "one side is a scalar");
    refused("a + bool b", 1, 3, "bool belongs to a comparison");
    refused("a + group_left b", 1, 5, "on (…) or ignoring (…)");
    refused("a and on (x) group_left b", 1, 7, "many to many");
    refused("a + on (x) group_left (x) b", 1, 5, "both in on and in the group");
    refused("a + on (x) 1", 1, 5, "one side is a scalar");
    refused("a[5m] + b", 1, 1, "this is a range vector");
    refused("-a[5m]", 1, 2, "not before a range vector");
    refused("(a) offset 5m", 1, 5, "offset stands after");
    refused("a offset 5m offset 5m", 1, 13, "second offset");
    refused("a @ 1 @ 2", 1, 7, "second @");
    refused("a @ inf", 1, 5, "finite");
    refused("a offset 5m[5m]", 1, 1, "after the range");
    refused("sum(a)[5m]", 1, 1, "a subquery has a colon");
    refused("1[5m:]", 1, 1, "evaluates an instant vector");
    refused("{}", 1, 1, "exclude the empty value");
    refused("{a=~'.*'}", 1, 1, "exclude the empty value");
    refused("a{__name__='b'}", 1, 3, "set twice");
    refused("'abc", 1, 1, "expected a closing '");
    refused("'a\\q'", 1, 4, "unknown escape");
    refused("'\\xff'", 1, 2, "UTF-8");
    refused("ä", 1, 1, "unexpected character 'ä'");
    refused("'ä' ?", 1, 5, "unexpected character '?'");
    refused("sum by (a:b) (c)", 1, 9, "the name of a label");
    refused("a $ b", 1, 3, "unexpected character");
}

#[test]
fn an_error_is_shown_below_its_line() {
    let source = "sum(\n  rat(é[5m])\n)";
    assert_eq!(parse(source).unwrap_err().pointed(source), "  rat(é[5m])\n  ^^^");
    assert_eq!(parse("'é' ?").unwrap_err().pointed("'é' ?"), "'é' ?\n    ^");
    let source = "a + rat(b)";
    assert_eq!(parse(source).unwrap_err().pointed(source), "a + rat(b)\n    ^^^");
}

#[test]
fn depth_is_bounded_and_never_by_the_stack() {
    let many = 100_000;
    for source in [
        format!("{}1{}", "(".repeat(many), ")".repeat(many)),
        format!("{}a", "-".repeat(many)),
        format!("{}1", "1^".repeat(many)),
        format!("{}a", "a+".repeat(many)),
        format!("{}a", "sum(".repeat(many / 2)),
        format!("a{}", "[1m:]".repeat(many / 2)),
    ] {
        let error = parse(&source).unwrap_err();
        let short = error.message().contains(&MAX_DEPTH.to_string()) || error.message().contains("subquery");
        assert!(short, "{error}");
    }
    let deep = format!("{}a{}", "(".repeat(MAX_DEPTH - 1), ")".repeat(MAX_DEPTH - 1));
    let expr = parse(&deep).unwrap();
    assert_eq!(expr.to_string(), deep);
    assert!(parse(&" ".repeat(MAX_QUERY_BYTES + 1)).unwrap_err().message().contains("bytes"));
}

#[test]
fn every_node_knows_where_it_stands() {
    let source = "sum by (x) (rate(a[5m] offset 1m)) / 2";
    let mut texts = Vec::new();
    parse(source).unwrap().walk(&mut |expr| texts.push(&source[expr.span.start..expr.span.end]));
    let sum = "sum by (x) (rate(a[5m] offset 1m))";
    assert_eq!(texts, [source, sum, "rate(a[5m] offset 1m)", "a[5m] offset 1m", "2"]);
    let after = "sum(a) by (x)";
    let span = parse(after).unwrap().span;
    assert_eq!((span.start, span.end), (0, after.len()));
}

#[test]
fn what_does_not_fit_on_a_line_is_broken_at_operators_and_arguments() {
    let long =
        format!("sum by (x) (rate({}{{a=\"b\"}}[5m])) / on (x) ({} + 1)", "a".repeat(60), "b".repeat(90));
    let (a, b) = ("a".repeat(60), "b".repeat(90));
    let expected = format!("  sum by (x) (rate({a}{{a=\"b\"}}[5m]))\n/ on (x)\n  ({b} + 1)");
    assert_eq!(parse(&long).unwrap().pretty(), expected);
    let nested = format!("clamp(sum({} + {b}), 0, 1)", "c".repeat(50));
    let expected = format!("clamp(\n  sum(\n      {}\n    +\n      {b}\n  ),\n  0,\n  1\n)", "c".repeat(50));
    assert_eq!(parse(&nested).unwrap().pretty(), expected);
    assert_eq!(parse("sum ( a )").unwrap().pretty(), "sum(a)");
}

#[test]
fn types_follow_from_operands() {
    let of = |source: &str| parse(source).unwrap().value_type();
    assert_eq!(of("1 + 1"), ValueType::Scalar);
    assert_eq!(of("1 + a"), ValueType::Vector);
    assert_eq!(of("a[5m]"), ValueType::Matrix);
    assert_eq!(of("(a)[5m:1m]"), ValueType::Matrix);
    assert_eq!(of("'a'"), ValueType::String);
    assert_eq!(of("scalar(a)"), ValueType::Scalar);
    let selectors = parse("a + sum(b[5m:] offset 1m)").map(|expr| expr.selectors().len());
    assert!(selectors.is_err(), "sum takes no range");
    let expr = parse("a @ 1 + rate(b[5m])").unwrap();
    let times: Vec<_> = expr.selectors().iter().map(|selector| selector.when.at).collect();
    assert_eq!(times, [Some(At::Time(1000)), None]);
}

proptest! {
    #[test]
    fn no_text_ends_the_parser(source in "\\PC{0,60}") {
        if let Ok(expr) = parse(&source) {
            prop_assert_eq!(parse(&expr.to_string()).unwrap().to_string(), expr.to_string());
        }
    }

    #[test]
    fn no_pieces_of_the_language_end_the_parser(pieces in proptest::collection::vec(
        proptest::sample::select(vec![
            "a", "sum", "rate", "by", "on", "group_left", "bool", "offset", "@", "(", ")", "{", "}", "[", "]", ",", ":",
            "=", "==", "!=", "=~", "+", "-", "^", "and", "5m", "1", "'x'", "start", "\"", "\\", "é", "#", "\n", ".", "x",
        ]), 0..25)) {
        for between in ["", " "] {
            let source = pieces.join(between);
            match parse(&source) {
                Ok(expr) => {
                    let written = expr.to_string();
                    prop_assert_eq!(parse(&written).map(|expr| expr.to_string()), Ok(written.clone()));
                    let pretty = expr.pretty();
                    prop_assert_eq!(parse(&pretty).map(|expr| expr.to_string()), Ok(written));
                },
                Err(error) => prop_assert!(!error.pointed(&source).is_empty()),
            }
        }
    }
}
