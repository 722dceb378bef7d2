use std::{fs, path::PathBuf};

use proptest::prelude::*;
use wire::native::problem::{Code, Problem};

use super::{
    Environment, Flags, SETTINGS, Settings, Sources, sources::Origin, value::FromSetting, value::Url,
};

/// A configuration from a file's text, variables and flags.
fn read(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<(Settings, Sources), Problem> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bellwether.toml");
    fs::write(&path, file).unwrap();
    let given = flags.iter().map(|(key, text)| (*key, (format!("--{key}"), (*text).to_owned())));
    let flags = Flags { config: Some(path.to_string_lossy().into_owned()), given: given.collect() };
    let sources = Sources::read(&flags, &Environment::of(variables))?;
    Ok((Settings::validated(&sources)?, sources))
}

fn refused(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Problem {
    read(file, variables, flags).expect_err("should be refused")
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "data = '/file'\nlisten = '127.0.0.1:1'\ngateway = '127.0.0.1:1'";
    let variables = [("BELLWETHER_LISTEN", "127.0.0.1:2"), ("BELLWETHER_GATEWAY", "127.0.0.1:2")];
    let (settings, sources) = read(file, &variables, &[("gateway", "off")]).unwrap();
    assert_eq!(settings.data, PathBuf::from("/file"));
    assert_eq!(settings.listen.port(), 2);
    assert_eq!(settings.gateway, super::Gateway::Off);
    assert!(matches!(sources.get("data").1, Origin::File { line: 1, column: 8, .. }));
    assert_eq!(sources.get("listen").1, Origin::Environment("BELLWETHER_LISTEN".to_owned()));
    assert_eq!(sources.get("gateway").1, Origin::Flag("--gateway".to_owned()));
    assert_eq!(sources.get("drain").1, Origin::Default);
}

#[test]
fn an_unknown_key_names_the_nearest_and_its_place() {
    let problem = refused("auth = true\n  lisen = '127.0.0.1:1'\n", &[], &[]);
    assert_eq!(problem.code(), Code::UnknownKey);
    assert!(problem.what_next().contains("did you mean listen?"), "{problem}");
    assert!(problem.field().unwrap().ends_with("bellwether.toml:2:3"), "{:?}", problem.field());
}

#[test]
fn an_unknown_variable_names_the_nearest() {
    let problem = refused("", &[("BELLWETHER_LISTN", "127.0.0.1:1")], &[]);
    assert_eq!(problem.code(), Code::UnknownKey);
    assert!(problem.what_next().contains("did you mean BELLWETHER_LISTEN?"), "{problem}");
}

#[test]
fn an_empty_variable_is_none_but_its_name_has_to_be_known() {
    let (settings, sources) = read("", &[("BELLWETHER_LISTEN", ""), ("BELLWETHER_SERVER", "")], &[]).unwrap();
    assert_eq!((settings.listen.port(), sources.get("listen").1), (2355, Origin::Default));
    assert_eq!(refused("", &[("BELLWETHER_LISTN", "")], &[]).code(), Code::UnknownKey);
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_of_our_name_are_none_of_ours() {
    let variables = [
        ("BELLWETHER_SERVICE_HOST", "10.0.0.1"),
        ("BELLWETHER_SERVICE_PORT_HTTP", "2355"),
        ("BELLWETHER_PORT", "tcp://10.0.0.1:2355"),
        ("BELLWETHER_PORT_2355_TCP_ADDR", "10.0.0.1"),
    ];
    read("", &variables, &[]).unwrap();
}

#[test]
fn a_wrong_value_names_its_place_and_the_rule() {
    let problem = refused("\nspans_disk = 'much'", &[], &[]);
    assert_eq!(problem.code(), Code::InvalidSetting);
    assert!(
        problem.detail().contains("spans_disk = \"much\"") && problem.detail().contains("64MiB"),
        "{problem}"
    );
    assert!(problem.field().unwrap().ends_with(":2:14"), "{:?}", problem.field());

    let problem = refused("", &[("BELLWETHER_DRAIN", "soon")], &[]);
    assert_eq!((problem.code(), problem.field()), (Code::InvalidSetting, Some("BELLWETHER_DRAIN")));

    let problem = refused("", &[], &[("listen", "here")]);
    assert_eq!((problem.code(), problem.field()), (Code::InvalidArgument, Some("--listen")));
}

#[test]
fn allowed_networks_are_a_list_and_none_at_all_is_a_mistake() {
    let of = |file: &str| read(file, &[], &[]).map(|(settings, _)| settings.dial_networks.to_string());
    assert_eq!(of("").unwrap(), "0.0.0.0/0,::/0");
    assert_eq!(of("dial_networks = ['10.0.0.0/8', 'fd00::/8']").unwrap(), "10.0.0.0/8,fd00::/8");
    let (settings, _) = read("", &[("BELLWETHER_DIAL_NETWORKS", "10.0.0.0/8, 127.0.0.1")], &[]).unwrap();
    assert_eq!(settings.dial_networks.to_string(), "10.0.0.0/8,127.0.0.1/32");

    let problem = refused("dial_networks = ['10.0.0.0/8', '10.1.2.3/8']", &[], &[]);
    assert_eq!(problem.code(), Code::InvalidSetting);
    assert!(
        problem.detail().contains("\"10.1.2.3/8\"") && problem.detail().contains("behind its prefix"),
        "{problem}"
    );
    assert!(refused("dial_networks = []", &[], &[]).detail().contains("from 1 to 256 networks"));
}

#[test]
fn tail_sampling_is_off_on_or_a_table_whose_parts_are_checked() {
    let of = |file: &str| read(file, &[], &[]).map(|(settings, _)| settings.tail_sampling.0);
    assert_eq!(of("").unwrap(), None, "whatever is sent is kept");
    let usual = of("tail_sampling = 'on'").unwrap().unwrap();
    let table = "[tail_sampling]\nslow = '250ms'\nshare = 0.25\nothers_per_second = 7";
    let told = of(table).unwrap().unwrap();
    assert_eq!((told.policy.slow.as_millis(), told.policy.others_per_second), (250, 7));
    assert_eq!((told.policy.errors_per_second, told.hold), (usual.policy.errors_per_second, usual.hold));
    assert_eq!(Some(told), of("tail_sampling = 'slow=250ms, share=0.25,others_per_second=7'").unwrap());
    let wrong = [
        ("tail_sampling = 'slow'", "key=value"),
        ("[tail_sampling]\nslow = 'soon'", "slow: "),
        ("[tail_sampling]\nshares = 1", "no such key"),
        ("[tail_sampling]\nhold = '1s'", "hold cannot be shorter"),
        ("[tail_sampling]\nquiet = '1m'", "quiet cannot be longer"),
        ("[tail_sampling]\nslow = ['1s', 2]", "cannot be a table"),
        ("[spans_disk]\nslow = '1s'", "cannot be a table"),
    ];
    for (file, rule) in wrong {
        assert!(refused(file, &[], &[]).detail().contains(rule), "{file}");
    }
}

#[test]
fn a_wrong_value_is_told_even_where_the_command_has_no_use_for_it() {
    let problem = refused("control = 'nowhere'", &[], &[]);
    assert!(problem.detail().contains("control"), "{problem}");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_place() {
    let problem = refused("auth = true\nlisten 127.0.0.1:1", &[], &[]);
    assert_eq!(problem.code(), Code::ConfigurationMalformed);
    assert!(problem.field().unwrap().contains("bellwether.toml:2:"), "{:?}", problem.field());
}

#[test]
fn a_table_where_a_value_belongs_is_refused() {
    let problem = refused("[listen]\nport = 1", &[], &[]);
    assert_eq!(problem.code(), Code::InvalidSetting);
    assert!(problem.detail().contains("listen cannot be a table"), "{problem}");
}

#[test]
fn a_file_that_is_named_and_not_there_is_an_error() {
    let flags = Flags { config: Some("/does/not/exist.toml".to_owned()), ..Flags::default() };
    let problem = Sources::read(&flags, &Environment::default()).unwrap_err();
    assert_eq!(problem.code(), Code::ConfigurationUnreadable);
}

#[test]
fn half_a_pair_of_tls_files_is_refused() {
    let problem = refused("tls_cert = 'cert.pem'", &[], &[]);
    assert_eq!(problem.code(), Code::ConflictingSettings);
    assert!(problem.detail().contains("tls_key"), "{problem}");
    assert!(problem.what_next().starts_with("give tls_key"), "{problem}");
}

#[test]
fn of_token_and_token_file_the_stronger_place_wins() {
    let variables = [("BELLWETHER_TOKEN", "bw_1")];
    let (settings, _) = read("token_file = '/token'", &variables, &[]).unwrap();
    assert!(settings.token.is_some() && settings.token_file.is_none());
    let (settings, _) = read("", &variables, &[("token_file", "/token")]).unwrap();
    assert!(settings.token.is_none() && settings.token_file.is_some());
    assert_eq!(refused("token = 'bw_1'\ntoken_file = '/token'", &[], &[]).code(), Code::ConflictingSettings);
}

#[test]
fn a_secret_is_in_no_message() {
    let problem = refused("", &[("BELLWETHER_TOKEN", "not a token")], &[]);
    assert!(!problem.to_string().contains("not a token"), "{problem}");
    let (settings, _) = read("", &[("BELLWETHER_TOKEN", "bw_hidden")], &[]).unwrap();
    assert!(!format!("{settings:?}").contains("bw_hidden"));
}

#[test]
fn every_default_is_valid_and_every_setting_has_its_texts() {
    read("", &[], &[]).unwrap();
    for setting in SETTINGS {
        assert!(!setting.help.trim().is_empty() && !setting.roles.is_empty(), "{}", setting.key);
        assert!(setting.key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", setting.key);
    }
}

#[test]
fn urls_have_a_scheme_and_a_host_and_no_path() {
    for (text, shown) in [
        ("http://127.0.0.1:2355", "http://127.0.0.1:2355"),
        ("https://bellwether.internal/", "https://bellwether.internal:443"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://[::1]", "http://[::1]:80"),
    ] {
        assert_eq!(Url::from_setting(text).unwrap().to_string(), shown);
    }
    for text in
        ["", "127.0.0.1:2355", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u:p@a", "http://a:x"]
    {
        assert!(Url::from_setting(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_configuration_panic(file in "\\PC{0,80}", value in "\\PC{0,40}") {
        let _ = read(&file, &[("BELLWETHER_LISTEN", &value), ("BELLWETHER_TIMEOUT", &value)], &[]);
        let _ = Url::from_setting(&value);
    }
}
