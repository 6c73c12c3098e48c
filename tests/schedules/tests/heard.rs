//! Near entries: nothing is served that was told to be out of date.

use cache_schedules::{
    explore::{find_out, try_all},
    heard::{
        Change::{Key, Tag},
        Without, reads_across_a_loss, reads_among_changes,
    },
};

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
            find_out(|| $scenario);
        }
    )+};
}

found_out! {
    without_noting_first: reads_among_changes(Without::NoteFirst, [Key, Key]);
    without_the_counter_of_all_tags: reads_among_changes(Without::AnyTag, [Tag, Tag]);
    without_comparing_generations: reads_across_a_loss(Without::Generation);
    without_ending_a_generation: reads_across_a_loss(Without::Loss);
}
