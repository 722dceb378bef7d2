use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;

/// `check(path, Some(content type))` finds a file of that type, `None` finds nothing.
fn check(path: &str, expected: Option<&str>) {
    assert_eq!(asset(path).map(|asset| asset.content_type), expected, "{path}");
}

#[test]
fn a_path_that_names_no_file_is_a_view_of_the_index_page() {
    let html = Some("text/html; charset=utf-8");
    for path in
        ["/", "", "/index.html", "/traces/0af7651916cd43dd8448eb211c80319c", "/nowhere/at/all", "/console/"]
    {
        check(path, html);
    }
}

#[test]
fn a_file_that_is_not_there_is_not_replaced_by_the_index_page() {
    for path in
        ["/favicon.ico", "/assets/gone.js", "/assets/", "/assets/no-extension", "/../Cargo.toml", "/a/b.map"]
    {
        check(path, None);
    }
}

#[test]
fn every_file_that_the_index_page_names_is_embedded_with_its_type() {
    check("/assets/console.js", Some("text/javascript; charset=utf-8"));
    check("/assets/console.css", Some("text/css; charset=utf-8"));
    check("/assets/bell.svg", Some("image/svg+xml"));
    check("/assets/licenses.txt", Some("text/plain; charset=utf-8"));
    let index = asset("/").expect("the index page");
    let html = std::str::from_utf8(&index.bytes).expect("UTF-8");
    for part in html.split('"').filter(|part| part.starts_with("/assets/")) {
        assert!(asset(part).is_some(), "{part} is named but not embedded");
    }
}

#[test]
fn compressed_bytes_are_the_same_file_and_smaller() {
    for file in FILES.values() {
        let Some(gzip) = &file.gzip else { continue };
        let mut bytes = Vec::new();
        GzDecoder::new(gzip.as_slice()).read_to_end(&mut bytes).expect("what gzip made, gzip reads");
        assert_eq!(bytes, *file.bytes);
        assert!(gzip.len() < file.bytes.len());
    }
    assert!(asset("/assets/console.js").expect("the script").gzip.is_some());
}

#[test]
fn entity_tags_tell_files_apart() {
    let mut tags: Vec<&str> = FILES.values().map(|file| file.etag.as_str()).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), FILES.len());
    assert!(tags.iter().all(|tag| tag.starts_with("W/\"") && tag.ends_with('"')));
}

#[test]
fn the_index_page_needs_nothing_that_the_policy_forbids() {
    let index = asset("/").expect("the index page");
    let html = std::str::from_utf8(&index.bytes).expect("UTF-8");
    assert!(!html.contains("style=") && !html.contains("<style"), "an inline style");
    assert!(!html.contains("onload=") && !html.contains("://"), "an inline handler or a foreign address");
    for script in html.split("<script").skip(1) {
        assert!(script.contains("src=\"/assets/"), "an inline script");
        assert!(
            script.split('>').nth(1).is_some_and(|rest| rest.starts_with("</script")),
            "an inline script"
        );
    }
    let (_, policy) = SECURITY_HEADERS[0];
    assert!(!policy.contains("unsafe") && policy.contains("default-src 'none'"));
}
