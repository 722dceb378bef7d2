//! The command line: what goes where, what it exits with, and how it speaks of mistakes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs;

use serde_json::Value as Json;
use support::{Greeter, Process, bellwether, finish, get, register, run, stderr, stdout, text, until};

fn up(folder: &tempfile::TempDir) -> Process {
    let data = folder.path().join("data");
    Process::start(&["up", "--data", text(&data), "--listen", "127.0.0.1:0", "--gateway", "off"])
}

#[test]
fn an_unknown_command_or_flag_names_the_nearest_and_exits_with_2() {
    for (args, meant) in [
        (&["sevrice", "list"][..], "service"),
        (&["service", "lst"], "list"),
        (&["up", "--lisen", "127.0.0.1:0"], "--listen"),
        (&["gateway", "--contrl", "http://127.0.0.1:1"], "--control"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(meant) && stdout(&output).is_empty(),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_wrong_value_names_the_flag_and_the_rule_and_exits_with_2() {
    let output = run(&["up", "--listen", "here"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("BW-3106") && said.contains("--listen") && said.contains("127.0.0.1:2355"),
        "{said}"
    );
}

#[test]
fn an_unknown_setting_names_the_nearest_its_place_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bellwether.toml"), "log_level = 'warn'\n\nspans_dsk = '1GiB'\n").unwrap();
    // The file of the folder where it is started is found by itself.
    let output = finish(bellwether(&["config", "show"]).current_dir(folder.path()));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("BW-3101") && said.contains("bellwether.toml:3:1") && said.contains("spans_disk"),
        "{said}"
    );

    let output = finish(bellwether(&["status"]).env("BELLWETHER_SERVR", "http://127.0.0.1:1"));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("BELLWETHER_SERVER"), "{}", stderr(&output));
}

#[test]
fn the_configuration_is_shown_with_its_origins_and_without_secrets() {
    let output = finish(
        bellwether(&["config", "show", "-o", "json", "--listen", "127.0.0.1:9"])
            .env("BELLWETHER_TOKEN", "bw_very_secret"),
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stdout(&output).contains("very_secret"));
    let shown: Json = serde_json::from_str(&stdout(&output)).unwrap();
    let setting =
        |key: &str| shown["settings"].as_array().unwrap().iter().find(|of| of["key"] == key).unwrap().clone();
    assert_eq!(
        (&setting("listen")["value"], &setting("listen")["from"]),
        (&"127.0.0.1:9".into(), &"--listen".into())
    );
    assert_eq!(setting("token")["from"], "BELLWETHER_TOKEN");
    assert_eq!(setting("gateway")["from"], "default");
}

#[test]
fn a_server_that_is_not_there_exits_with_3_and_says_what_to_do() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["service", "list", "--server", &format!("http://{nobody}")]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        said.contains("BW-3201") && said.contains("bellwether up") && stdout(&output).is_empty(),
        "{said}"
    );
}

#[test]
fn something_that_is_not_bellwether_is_not_understood() {
    let greeter = Greeter::start();
    let output = run(&["service", "list", "--server", &format!("http://{}", greeter.address)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("BW-3202"), "{}", stderr(&output));
}

#[test]
fn codes_are_explained_and_an_unknown_one_names_the_nearest_and_exits_with_4() {
    for code in ["BW-1103", "bw-1103", "1103"] {
        let output = run(&["explain", code]);
        assert_eq!(output.status.code(), Some(0));
        let said = stdout(&output);
        assert!(said.contains("BW-1103") && said.contains("Cause") && said.contains("What to do"), "{said}");
    }
    let output = run(&["explain", "BW-1193"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("did you mean BW-11"), "{}", stderr(&output));
    let all = run(&["explain", "-o", "jsonl"]);
    assert!(stdout(&all).lines().count() > 80);
    assert!(
        stdout(&all).lines().all(|line| serde_json::from_str::<Json>(line).unwrap()["remedy"].is_string())
    );
}

#[test]
fn a_query_is_answered_as_a_table_and_as_a_chart_and_a_mistake_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&["server", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", server.address("listen"));
    let ask = |args: &[&str]| run(&[&["query"], args, &["--server", &url]].concat());
    assert_eq!(stdout(&ask(&["1 + 1"])), "2\n");
    let table = stdout(&ask(&["label_replace(vector(42), 'a', 'b', '', '')", "--at", "5m"]));
    assert!(table.contains("{a=\"b\"}") && table.contains("42"), "{table}");
    let chart =
        stdout(&ask(&["vector(time() % 60)", "--range", "10m", "--step", "30s", "--at", "1700000000"]));
    assert!(chart.contains('▁') && chart.contains('█') && chart.contains("50"), "{chart}");
    let lines = stdout(&ask(&["vector(1)", "--range", "1m", "-o", "jsonl"]));
    assert!(serde_json::from_str::<Json>(lines.trim()).unwrap()["values"].is_array(), "{lines}");
    let mistake = ask(&["sum(rat(up[5m]))"]);
    assert_eq!(mistake.status.code(), Some(2));
    let said = stderr(&mistake);
    assert!(
        said.contains("1:5: parse error") && said.contains("did you mean rate?") && said.contains("    ^^^"),
        "{said}"
    );
    let refused = ask(&["label_replace(up, '-', '', '', '')"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("label name"), "{}", stderr(&refused));
}

#[test]
fn every_shell_has_its_completions() {
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef bellwether"), ("fish", "complete -c bellwether")]
    {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains(sign) && stdout(&output).contains("service"), "{shell}");
    }
}

#[test]
fn every_command_has_an_example_in_its_help() {
    for command in [
        "up",
        "server",
        "gateway",
        "demo",
        "demo break",
        "demo heal",
        "status",
        "service list",
        "service show",
        "service delete",
        "instance register",
        "instance heartbeat",
        "instance deregister",
        "instance drain",
        "instance undrain",
        "instance override",
        "instance weight",
        "instance history",
        "owner",
        "ring",
        "why instance",
        "watch",
        "trace search",
        "trace show",
        "trace export",
        "trace pin",
        "trace unpin",
        "event list",
        "breaker list",
        "proxy list",
        "proxy view",
        "proxy forget",
        "ledger",
        "backup",
        "restore",
        "token create",
        "token list",
        "token revoke",
        "config show",
        "explain",
        "completions",
    ] {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.push("--help");
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(
            stdout(&output).contains(&format!("  bellwether {command}")),
            "{command}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn an_instance_comes_stays_and_goes_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let up = up(&folder);
    let url = format!("http://{}", up.address("listen"));
    let ask = |args: &[&str]| finish(bellwether(args).env("BELLWETHER_SERVER", &url));

    let place = ["--address", "10.0.0.7", "--port", "8080"];
    let registered =
        ask(&[&["instance", "register", "payments", "p-1", "--ttl", "60s"], &place[..]].concat());
    assert_eq!(registered.status.code(), Some(0), "{}", stderr(&registered));
    let lease = stdout(&registered).trim().to_owned();
    assert!(!lease.is_empty() && stderr(&registered).contains("p-1 of payments registered"));

    let heartbeat = |lease: &str| ask(&["instance", "heartbeat", "payments", "p-1", "--lease", lease]);
    assert_eq!(heartbeat(&lease).status.code(), Some(0));
    let stale = heartbeat("0123456789abcdef");
    assert_eq!(stale.status.code(), Some(1));
    assert!(stderr(&stale).contains("BW-1103"), "{}", stderr(&stale));

    let shown = ask(&["service", "show", "payments"]);
    assert!(stdout(&shown).contains("p-1") && stdout(&shown).contains("10.0.0.7:8080"), "{}", stdout(&shown));
    let owner: Json = serde_json::from_str(&stdout(&ask(&["owner", "payments", "k", "-o", "json"]))).unwrap();
    assert_eq!(owner["home"]["id"], "p-1");
    let yaml = stdout(&ask(&["service", "list", "-o", "yaml"]));
    assert!(yaml.contains("service: payments"), "{yaml}");

    assert_eq!(ask(&["instance", "deregister", "payments", "p-1", "--lease", &lease]).status.code(), Some(0));
    let gone = ask(&["service", "show", "paymens"]);
    assert_eq!(gone.status.code(), Some(4));
    assert!(stderr(&gone).contains("BW-1101") && stdout(&gone).is_empty(), "{}", stderr(&gone));
    let events = stdout(&ask(&["event", "list", "-o", "jsonl"]));
    assert!(events.lines().any(|line| line.contains("deregistered")), "{events}");
}

#[test]
fn what_a_pipe_is_given_has_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    let up = up(&folder);
    let url = format!("http://{}", up.address("listen"));
    for args in [&["status"][..], &["ledger"], &["event", "list"], &["explain", "BW-1101"]] {
        let output = finish(bellwether(args).env("BELLWETHER_SERVER", &url).env("NO_COLOR", "1"));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert!(!stdout(&output).contains('\x1b') && !stderr(&output).contains('\x1b'), "{args:?}");
    }
}

#[test]
fn a_first_token_is_made_without_a_server_and_is_then_needed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let create =
        |name: &str, scope: &str| run(&["token", "create", name, "--scope", scope, "--data", text(&data)]);
    let admin = stdout(&create("admin", "admin")).trim().to_owned();
    let reader = stdout(&create("reader", "read")).trim().to_owned();
    assert!(!admin.is_empty() && !reader.is_empty() && admin != reader);

    let server = Process::start(&["server", "--data", text(&data), "--listen", "127.0.0.1:0", "--auth"]);
    let url = format!("http://{}", server.address("listen"));
    let ask = |args: &[&str], token: &str| {
        finish(bellwether(args).env("BELLWETHER_SERVER", &url).env("BELLWETHER_TOKEN", token))
    };
    let without = finish(&mut bellwether(&["service", "list", "--server", &url]));
    assert_eq!(without.status.code(), Some(5));
    assert!(stderr(&without).contains("BW-1201"), "{}", stderr(&without));
    let wrong = ask(&["service", "list"], "bw_nobody_knows");
    assert_eq!(wrong.status.code(), Some(5));
    assert!(!stderr(&wrong).contains("nobody_knows"));

    assert_eq!(ask(&["service", "list"], &reader).status.code(), Some(0));
    let refused = ask(&["token", "list"], &reader);
    assert_eq!(refused.status.code(), Some(5));
    assert!(stderr(&refused).contains("admin"), "{}", stderr(&refused));

    let tokens: Json = serde_json::from_str(&stdout(&ask(&["token", "list", "-o", "json"], &admin))).unwrap();
    let of_reader =
        tokens["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "reader").unwrap();
    assert_eq!(ask(&["token", "revoke", of_reader["id"].as_str().unwrap()], &admin).status.code(), Some(0));
    assert_eq!(ask(&["service", "list"], &reader).status.code(), Some(5));

    // A running server owns the folder, and makes tokens itself.
    let offline = create("late", "read");
    assert_eq!(offline.status.code(), Some(1));
    assert!(stderr(&offline).contains("BW-3003"), "{}", stderr(&offline));
}

#[test]
fn a_watch_goes_on_where_it_was_after_a_restart_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = up(&folder);
    let control = server.address("listen");
    let greeter = Greeter::start();
    register(control, "greeter", "greeter-1", greeter.address);

    let watch = bellwether(&["watch", "-o", "jsonl", "--server", &format!("http://{control}")])
        .stdout(fs::File::create(folder.path().join("seen")).unwrap())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut watch = support::Ended(watch);
    let seen = || fs::read_to_string(folder.path().join("seen")).unwrap();
    until("the snapshot is seen", || seen().contains("\"snapshot\"").then_some(()));
    register(control, "greeter", "greeter-2", greeter.address);
    until("the change is seen", || seen().contains("greeter-2").then_some(()));

    server.kill();
    let data = folder.path().join("data");
    let _again =
        Process::start(&["up", "--data", text(&data), "--listen", &control.to_string(), "--gateway", "off"]);
    register(control, "greeter", "greeter-3", greeter.address);
    until("the later change is seen", || seen().contains("greeter-3").then_some(()));
    assert_eq!(
        seen().matches("\"event\":\"snapshot\"").count(),
        1,
        "it went on from its revision: {}",
        seen()
    );
    assert!(get(control, "/bellwether/v1/events?service=greeter")["events"].as_array().unwrap().len() >= 3);
    watch.0.kill().unwrap();
}

#[test]
fn what_was_backed_up_is_restored_on_another_server_and_a_cut_file_is_not() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let from = up(&one);
    let ask = |server: &Process, args: &[&str]| {
        finish(bellwether(args).env("BELLWETHER_SERVER", format!("http://{}", server.address("listen"))))
    };
    register(from.address("listen"), "payments", "p-1", "10.0.0.7:80".parse().unwrap());
    let file = one.path().join("monday.backup");
    let saved = ask(&from, &["backup", text(&file)]);
    assert_eq!(saved.status.code(), Some(0), "{}", stderr(&saved));
    assert!(stdout(&saved).is_empty() && stderr(&saved).contains("monday.backup has"), "{}", stderr(&saved));
    let piped = ask(&from, &["backup", "-"]);
    assert!(stdout(&piped).starts_with("{\"format\":\"bellwether-backup\""), "{}", stdout(&piped));
    let unwritable = ask(&from, &["backup", "/nowhere/at/all"]);
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(stderr(&unwritable).contains("BW-3209"), "{}", stderr(&unwritable));

    let to = up(&other);
    let cut = one.path().join("cut.backup");
    let whole = fs::read(&file).unwrap();
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let refused = ask(&to, &["restore", text(&cut)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("BW-1306") && stderr(&refused).contains("cut"), "{}", stderr(&refused));
    let missing = ask(&to, &["restore", "missing.backup"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("BW-3207"), "{}", stderr(&missing));

    let planned = ask(&to, &["restore", text(&file), "--dry-run", "-o", "json"]);
    let planned: Json = serde_json::from_str(&stdout(&planned)).unwrap();
    assert_eq!((&planned["dry_run"], &planned["instances"]["restored"]), (&true.into(), &1.into()));
    assert_eq!(ask(&to, &["service", "show", "payments"]).status.code(), Some(4));
    let done = ask(&to, &["restore", text(&file), "--replace"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stdout(&done).contains("instances"), "{}", stdout(&done));
    assert!(stdout(&ask(&to, &["service", "show", "payments"])).contains("10.0.0.7:80"));
}

#[test]
fn a_drain_tells_what_it_waits_for_and_exits_with_0_only_if_it_is_safe() {
    let folder = tempfile::tempdir().unwrap();
    let up = up(&folder);
    let control = up.address("listen");
    let ask = |args: &[&str]| finish(bellwether(args).env("BELLWETHER_SERVER", format!("http://{control}")));
    register(control, "payments", "p-1", "10.0.0.7:80".parse().unwrap());
    let last = ask(&["instance", "drain", "payments", "p-1"]);
    assert_eq!(last.status.code(), Some(1));
    assert!(stderr(&last).contains("BW-1107"), "{}", stderr(&last));

    // A client that asks for the instances, and is not of ours.
    get(control, "/bellwether/v1/namespaces/default/services/payments");
    let waited =
        ask(&["instance", "drain", "payments", "p-1", "--force", "--timeout", "50ms", "--deregister"]);
    assert_eq!(waited.status.code(), Some(1));
    assert!(
        stdout(&waited).contains("poll") && stdout(&waited).contains("unacknowledged"),
        "{}",
        stdout(&waited)
    );
    assert!(
        stderr(&waited).contains("BW-1123") && stderr(&waited).contains("operator@127.0.0.1"),
        "{}",
        stderr(&waited)
    );
    assert!(stdout(&ask(&["service", "show", "payments"])).contains("draining"), "what is not safe stays");

    register(control, "billing", "b-1", "10.0.0.7:81".parse().unwrap());
    let safe = ask(&["instance", "drain", "billing", "b-1", "--force", "--deregister", "-o", "json"]);
    assert_eq!(safe.status.code(), Some(0), "{}", stderr(&safe));
    let receipt: Json = serde_json::from_str(&stdout(&safe)).unwrap();
    assert_eq!((&receipt["safe"], &receipt["instance"]), (&true.into(), &"b-1".into()));
    assert!(stderr(&safe).contains("b-1 of billing is deregistered"), "{}", stderr(&safe));
    assert_eq!(ask(&["service", "show", "billing"]).status.code(), Some(4));
    let nobody = ask(&["proxy", "forget", "gateway@gone:1"]);
    assert_eq!(nobody.status.code(), Some(4));
}

#[test]
fn an_operator_drains_overrides_asks_why_and_deletes_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up =
        Process::start(&["up", "--data", text(&data), "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]);
    let url = format!("http://{}", up.address("listen"));
    let ask = |args: &[&str]| finish(bellwether(args).env("BELLWETHER_SERVER", &url));
    let good = |args: &[&str]| {
        let output = ask(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    let greeter = Greeter::start();
    let port = greeter.address.port().to_string();
    for id in ["p-1", "p-2"] {
        let place = ["instance", "register", "payments", id, "--address", "127.0.0.1", "--port", &port];
        good(&[&place[..], &["--warm-up", "1s", "--check", "tcp,interval=1s"]].concat());
    }
    let wrong =
        ask(&["instance", "register", "payments", "p-3", "--address", "a", "--port", "1", "--check", "ping"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("http:/PATH"), "{}", stderr(&wrong));
    until("both have warmed up", || {
        (good(&["service", "show", "payments", "--status", "up"]).matches("p-").count() == 2).then_some(())
    });

    // The gateway proves that it sends nothing there.
    let receipt = good(&["instance", "drain", "payments", "p-1", "--reason", "new kernel", "-o", "json"]);
    let receipt: Json = serde_json::from_str(&receipt).unwrap();
    assert_eq!(
        (&receipt["safe"], &receipt["subscribers"][0]["kind"]),
        (&true.into(), &"proxy".into()),
        "{receipt}"
    );
    let why = good(&["why", "instance", "payments", "p-1"]);
    assert!(why.contains("p-1 of payments is draining") && why.contains("new kernel"), "{why}");
    good(&["instance", "undrain", "payments", "p-1"]);
    let taken = good(&[
        "instance",
        "override",
        "payments",
        "p-1",
        "maintenance",
        "--reason",
        "new disk",
        "--for",
        "30m",
    ]);
    assert!(taken.contains("maintenance") && taken.contains("new disk"), "{taken}");
    let unsaid = ask(&["instance", "override", "payments", "p-1", "down"]);
    assert_eq!(unsaid.status.code(), Some(2), "a reason is needed");
    good(&["instance", "override", "payments", "p-1", "--clear"]);
    const WEIGHT: [&str; 4] = ["instance", "weight", "payments", "p-1"];
    assert!(good(&[&WEIGHT[..], &["50", "--reason", "a try"]].concat()).contains("50"));
    let why = good(&["why", "instance", "payments", "p-1"]);
    assert!(why.contains("set its weight to 50 (a try); it registered 100"), "{why}");
    assert_eq!(ask(&[&WEIGHT[..], &["50"]].concat()).status.code(), Some(2), "a reason is needed");
    assert_eq!(ask(&[&WEIGHT[..], &["10001", "--reason", "all"]].concat()).status.code(), Some(2));
    good(&[&WEIGHT[..], &["--clear"]].concat());
    let history = good(&["instance", "history", "payments", "p-1"]);
    for action in [
        "registered",
        "check_passed",
        "warmed_up",
        "draining",
        "receipt",
        "undrained",
        "overridden",
        "released",
        "weighed",
        "unweighed",
    ] {
        assert!(history.contains(action), "{action} is not in {history}");
    }
    assert!(good(&["instance", "history", "payments", "--limit", "2"]).contains("older ones with --before"));

    let ring = good(&["ring", "payments"]);
    assert!(ring.contains("p-1") && ring.contains('%'), "{ring}");
    for more in [&[][..], &["--algorithm", "maglev"], &["--bounded", "1.25"]] {
        assert!(good(&[&["owner", "payments", "k"], more].concat()).contains("p-"), "{more:?}");
    }
    assert_eq!(ask(&["ring", "payments", "--algorithm", "dice"]).status.code(), Some(2));

    let seen = good(&["proxy", "view", "gateway", "payments", "-o", "json"]);
    let seen: Json = serde_json::from_str(&seen).unwrap();
    assert_eq!((&seen["complete"], seen["instances"].as_array().unwrap().len()), (&true.into(), 2), "{seen}");
    assert!(good(&["proxy", "view", "gateway", "payments"]).contains("routed by revision"));
    assert_eq!(ask(&["proxy", "view", "nobody", "payments"]).status.code(), Some(4));
    assert_eq!(ask(&["proxy", "view", "gateway", "payments", "--at", "noon"]).status.code(), Some(2));

    let refused = ask(&["service", "delete", "payments"]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(good(&["service", "delete", "payments", "--force", "--dry-run"]).contains("would be removed"));
    assert!(good(&["service", "delete", "payments", "--force", "--reason", "moved"]).contains("p-2"));
    assert_eq!(ask(&["service", "show", "payments"]).status.code(), Some(4));
}

#[test]
fn a_policy_is_checked_compared_applied_and_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = up(&folder);
    let ask = |args: &[&str]| {
        finish(bellwether(args).env("BELLWETHER_SERVER", format!("http://{}", server.address("listen"))))
    };
    let file = folder.path().join("cart.yaml");
    let write = |call: &str| {
        let policy = format!(
            "# comments are for people\napiVersion: bellwether.dev/v1\nkind: ServicePolicy\n\
             metadata: {{ name: cart }}\nspec: {{ service: cart, timeouts: {{ call: {call} }} }}\n"
        );
        fs::write(&file, policy).unwrap();
    };
    write("2 seconds");
    let refused = finish(&mut bellwether(&["policy", "validate", "-f", text(&file)]));
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("cart.yaml: line 5, column 42") && said.contains("such as 250ms"), "{said}");

    write("2s");
    let valid = finish(&mut bellwether(&["policy", "validate", "-f", text(&file)]));
    assert_eq!((valid.status.code(), stderr(&valid).trim()), (Some(0), "1 valid: cart"));
    let differs = ask(&["policy", "diff", "-f", text(&file)]);
    assert_eq!(differs.status.code(), Some(1));
    assert!(stdout(&differs).contains("+    call: 2s"), "{}", stdout(&differs));
    let tried = ask(&["policy", "apply", "-f", text(&file), "--dry-run"]);
    assert!(stderr(&tried).contains("would be"), "{}", stderr(&tried));
    assert!(stdout(&ask(&["policy", "list"])).contains("no policies"));
    let applied = ask(&["policy", "apply", "-f", text(&file), "--reason", "slow disk"]);
    assert_eq!(applied.status.code(), Some(0), "{}", stderr(&applied));
    assert_eq!(ask(&["policy", "diff", "-f", text(&file)]).status.code(), Some(0));
    let listed = stdout(&ask(&["policy", "list"]));
    assert!(listed.contains("cart") && listed.contains("slow disk"), "{listed}");

    write("3s");
    assert_eq!(ask(&["policy", "apply", "-f", text(&file), "--if-match", "99"]).status.code(), Some(1));
    assert_eq!(ask(&["policy", "apply", "-f", text(&file)]).status.code(), Some(0));
    let holds = stdout(&ask(&["policy", "show", "--service", "cart"]));
    assert!(holds.contains("call: 3s") && holds.contains("built_in"), "{holds}");
    assert_eq!(ask(&["policy", "rollback", "cart"]).status.code(), Some(0));
    assert!(stdout(&ask(&["policy", "show", "cart"])).contains("call: 2s"));
    let history = stdout(&ask(&["policy", "history", "cart"]));
    assert!(["created", "updated", "rolled_back"].iter().all(|word| history.contains(word)), "{history}");
    assert_eq!(ask(&["policy", "delete", "cart"]).status.code(), Some(0));
    assert_eq!(ask(&["policy", "show", "cart"]).status.code(), Some(4));
    let events = stdout(&ask(&["event", "list", "--kind", "policy"]));
    assert!(events.contains("deleted") && events.contains("slow disk"), "{events}");
}
