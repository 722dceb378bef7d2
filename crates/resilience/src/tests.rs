//! Each test's name is the claim.

use super::*;

#[test]
fn every_state_is_read_back_from_its_name() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    assert!("half-open".parse::<State>().is_err());
}
