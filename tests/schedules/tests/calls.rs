//! Flights: one load, nobody stranded, nothing from before an invalidation.

use cache_schedules::{
    calls::{
        Caller::{self, Fickle, Patient},
        Invalidated::{self, Elsewhere, Key, Tag},
        Without, calls_among_invalidations, cold_calls,
    },
    explore::{find_out, try_all},
};

const PATIENT: [Caller; 3] = [Patient; 3];

/// In one process, and in front of a store that others share.
const STORES: [Invalidated; 2] = [Key, Elsewhere];

#[test]
fn of_calls_at_once_one_loads_and_all_are_answered() {
    STORES.into_iter().for_each(|store| try_all(move || cold_calls(store, &PATIENT)));
}

#[test]
fn whoever_goes_away_strands_nobody_and_no_second_load_runs() {
    for store in STORES {
        try_all(move || cold_calls(store, &[Fickle, Fickle, Patient]));
        try_all(move || cold_calls(store, &[Fickle, Patient, Fickle, Patient]));
    }
}

#[test]
fn nobody_gets_what_was_invalidated_before_it_called() {
    for invalidated in [Key, Tag, Elsewhere] {
        try_all(move || calls_among_invalidations(Without::Nothing, invalidated, &PATIENT));
        try_all(move || calls_among_invalidations(Without::Nothing, invalidated, &[Fickle, Patient, Fickle, Patient]));
    }
}

/// Each rule, taken out: the schedules find out.
macro_rules! found_out {
    ($($name:ident: $scenario:expr;)+) => {$(
        #[test]
        #[should_panic(expected = "was acknowledged before")]
        fn $name() {
            find_out(|| $scenario);
        }
    )+};
}

found_out! {
    without_the_advance: calls_among_invalidations(Without::Advance, Key, &PATIENT);
    without_any_proof: calls_among_invalidations(Without::Proof, Tag, &PATIENT);
    without_the_proof_at_the_end: calls_among_invalidations(Without::ProofAtTheEnd, Tag, &PATIENT);
    without_numbered_attempts: calls_among_invalidations(Without::Attempts, Tag, &PATIENT);
    without_closing: calls_among_invalidations(Without::Close, Elsewhere, &PATIENT);
}
