//! Near entries: nothing is served that was told to be out of date.

use cache_schedules::heard::{
    Change::{Key, Tag},
    Without, reads_across_a_loss, reads_among_changes,
};

/// Schedules of each scenario; `SCHEDULES` for longer.
fn schedules() -> usize {
    std::env::var("SCHEDULES").map_or(500, |given| given.parse().expect("a number of schedules"))
}

fn try_all(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    try_some(scenario, schedules());
}

fn try_some(scenario: impl Fn() + Send + Sync + Clone + 'static, schedules: usize) {
    shuttle::check_pct(scenario.clone(), schedules, 3);
    shuttle::check_random(scenario, schedules);
}

#[test]
fn an_answer_that_was_on_its_way_undoes_no_message() {
    for changes in [[Key, Key], [Tag, Tag], [Key, Tag]] {
        try_all(move || reads_among_changes(Without::Nothing, changes));
    }
}

#[test]
fn what_happens_while_nothing_is_heard_is_not_missed() {
    try_all(|| reads_across_a_loss(Without::Nothing));
}

macro_rules! found_out {
    ($($name:ident: $scenario:expr;)+) => {$(
        #[test]
        #[should_panic(expected = "was served")]
        fn $name() {
            // The first schedule that finds it is the last.
            try_some(|| $scenario, 20_000);
        }
    )+};
}

found_out! {
    without_noting_first: reads_among_changes(Without::NoteFirst, [Key, Key]);
    without_the_counter_of_all_tags: reads_among_changes(Without::AnyTag, [Tag, Tag]);
    without_comparing_generations: reads_across_a_loss(Without::Generation);
    without_ending_a_generation: reads_across_a_loss(Without::Loss);
}
