use crate::spelling::trace_id;

#[test]
fn an_id_is_known_in_any_spelling() {
    let id = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    for text in [
        "0af7651916cd43dd8448eb211c80319c",
        "af7651916cd43dd8448eb211c80319c",
        "0AF7651916CD43DD8448EB211C80319C",
        "0af76519-16cd-43dd-8448-eb211c80319c",
        "000000000af7651916cd43dd8448eb211c80319c",
    ] {
        assert_eq!(trace_id(text).unwrap().get(), id, "{text}");
    }
    assert_eq!(trace_id("00000000000000008448eb211c80319c").unwrap(), trace_id("8448eb211c80319c").unwrap());
}

#[test]
fn what_is_no_id_is_refused_with_the_rule() {
    let long = "0".repeat(200) + "1";
    for text in
        ["", "0", "-", "1-", "--1", "1--2", "xyz", "1af7651916cd43dd8448eb211c80319c0", "é", long.as_str()]
    {
        let error = trace_id(text).unwrap_err().to_string();
        assert!(error.contains("trace id") && error.contains("hexadecimal"), "{error}");
    }
}
