//! Which deliveries are acknowledged together: the broker is told of each, once, and of no other.

use std::collections::BTreeSet;

use painel_shared::queue::rabbitmq::Window;
use proptest::prelude::*;

/// What may happen on a channel.
#[derive(Clone, Debug)]
enum Step {
    Deliver,
    /// Of those in hand, these by their places.
    Acknowledge(Vec<prop::sample::Index>),
    GiveBack(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Deliver),
        2 => prop::collection::vec(any::<prop::sample::Index>(), 1..5).prop_map(Step::Acknowledge),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_broker_waits_for_what_is_in_hand_and_for_nothing_else(steps in prop::collection::vec(step(), 1..200)) {
        let mut window = Window::default();
        // What the broker waits for, as it would keep it.
        let mut outstanding: BTreeSet<u64> = BTreeSet::new();
        let mut last = 0;
        for step in steps {
            let held: Vec<u64> = outstanding.iter().copied().collect();
            match step {
                Step::Deliver => {
                    last += 1;
                    outstanding.insert(last);
                    window.deliver(last);
                }
                Step::GiveBack(_) | Step::Acknowledge(_) if held.is_empty() => {}
                Step::GiveBack(which) => {
                    let tag = *which.get(&held);
                    outstanding.remove(&tag);
                    window.give_back(tag);
                }
                Step::Acknowledge(which) => {
                    let tags: BTreeSet<u64> = which.iter().map(|index| *index.get(&held)).collect();
                    let left: BTreeSet<u64> = outstanding.difference(&tags).copied().collect();
                    let told = window.acknowledge(&tags.iter().copied().collect::<Vec<_>>());
                    for tag in told.single {
                        prop_assert!(outstanding.remove(&tag), "the broker does not know {tag}");
                    }
                    if let Some(up_to) = told.up_to {
                        prop_assert!(outstanding.contains(&up_to), "the broker does not know {up_to}");
                        outstanding.retain(|tag| *tag > up_to);
                    }
                    prop_assert_eq!(&outstanding, &left);
                }
            }
            prop_assert_eq!(window.len(), outstanding.len());
        }
    }
}
