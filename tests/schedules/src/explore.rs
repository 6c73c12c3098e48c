//! How many schedules of a scenario are tried.

/// As many as make sure that a weakened form fails.
const ENOUGH_TO_FIND: usize = 20_000;

/// Tries 500 schedules in each way, or `SCHEDULES`; none may fail.
pub fn try_all(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let schedules = std::env::var("SCHEDULES").map_or(500, |given| given.parse().expect("a number of schedules"));
    try_some(scenario, schedules);
}

/// Tries schedules of a weakened form until one fails; that one is the last.
pub fn find_out(weakened: impl Fn() + Send + Sync + Clone + 'static) {
    try_some(weakened, ENOUGH_TO_FIND);
}

fn try_some(scenario: impl Fn() + Send + Sync + Clone + 'static, schedules: usize) {
    shuttle::check_pct(scenario.clone(), schedules, 3);
    shuttle::check_random(scenario, schedules);
}
