use crate::Ledger;

#[test]
fn a_ledger_balances_when_everything_received_is_somewhere() {
    let mut ledger = Ledger { received: 10, stored: 5, sampled_out: 2, spooled: 1, ..Ledger::default() };
    assert!(!ledger.balances());
    ledger.drop_for("queue_full", 2);
    assert!(ledger.balances());
    ledger.expired = 6;
    assert!(!ledger.balances(), "nothing expires that was not stored");
}

#[test]
fn adding_ledgers_keeps_them_balanced() {
    let mut sum = Ledger::default();
    for reason in ["queue_full", "too_large", "queue_full"] {
        let mut one = Ledger { received: 3, stored: 1, expired: 1, sampled_out: 1, ..Ledger::default() };
        one.drop_for(reason, 1);
        sum.add(&one);
    }
    assert!(sum.balances());
    assert_eq!((sum.received, sum.dropped["queue_full"], sum.dropped_total(), sum.expired), (9, 2, 3, 3));
}

#[test]
fn reasons_without_end_are_counted_together() {
    let mut ledger = Ledger::default();
    for reason in 0..1_000 {
        ledger.drop_for(&format!("reason-{reason}"), 1);
    }
    ledger.drop_for(&"long".repeat(100), 1);
    ledger.drop_for("", 1);
    ledger.drop_for("nothing", 0);
    assert_eq!(ledger.dropped.len(), Ledger::MAX_REASONS + 1);
    assert_eq!(ledger.dropped_total(), 1_002);
}
