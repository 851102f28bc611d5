//! Which endpoint a call goes to: pure choices among candidates.

use std::cmp::Reverse;

use rand::{Rng, RngExt as _};

use crate::services::ServiceId;

/// An endpoint that a call may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The `service.id` of its proxy, or of a local service. It orders
    /// candidates by age.
    pub id: ServiceId,
    /// `service.ranking`; higher is to be preferred (OSGi rule G04).
    pub ranking: i32,
    /// The priority that it was announced with; lower is to be preferred, as
    /// in DNS SRV records.
    pub priority: i64,
    /// The share among those of one priority.
    pub weight: i64,
    /// How many calls of this consumer are under way there.
    pub in_flight: usize,
}

impl Candidate {
    /// One without ranking, priority, weight and calls.
    pub fn new(id: ServiceId) -> Self {
        Self {
            id,
            ranking: 0,
            priority: 0,
            weight: 0,
            in_flight: 0,
        }
    }
}

/// Chooses among candidates. Those that are shut out, or were tried for this
/// call already, are not among them.
pub trait Picker: Send + 'static {
    /// The index of the one chosen. It is never asked without candidates; an
    /// index beyond them counts as the last one.
    fn pick(&mut self, candidates: &[Candidate], rng: &mut dyn Rng) -> usize;
}

/// The best by `service.ranking`, then the oldest: what looking up a single
/// service gives (OSGi rule G04).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ranking;

impl Picker for Ranking {
    fn pick(&mut self, candidates: &[Candidate], _: &mut dyn Rng) -> usize {
        let ranked = candidates.iter().enumerate();
        let best = ranked.min_by_key(|(_, c)| (Reverse(c.ranking), c.id));
        best.map_or(0, |(index, _)| index)
    }
}

/// Of those with the lowest priority one at random, by weight, as RFC 2782
/// has it for DNS SRV records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Priority;

impl Picker for Priority {
    fn pick(&mut self, candidates: &[Candidate], rng: &mut dyn Rng) -> usize {
        let Some(lowest) = candidates.iter().map(|c| c.priority).min() else {
            return 0;
        };
        let weight = |c: &Candidate| u128::from(c.weight.max(0).unsigned_abs());
        let mut group: Vec<(usize, u128)> = candidates
            .iter()
            .enumerate()
            .filter(|(_, c)| c.priority == lowest)
            .map(|(index, c)| (index, weight(c)))
            .collect();
        let total: u128 = group.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return group[rng.random_range(0..group.len())].0;
        }
        // Those without weight come first and are chosen by a 0 only: "a very
        // small chance". Which of them, chance decides too.
        group.sort_by_key(|(_, weight)| *weight > 0);
        let weightless = group.iter().filter(|(_, weight)| *weight == 0).count();
        let mut left = rng.random_range(0..=total);
        if left == 0 && weightless > 0 {
            return group[rng.random_range(0..weightless)].0;
        }
        for (index, weight) in &group {
            if left <= *weight {
                return *index;
            }
            left -= weight;
        }
        group.last().map_or(0, |(index, _)| *index)
    }
}

/// Each in turn, by age. Who comes late takes its place in the round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundRobin {
    last: Option<ServiceId>,
}

impl Picker for RoundRobin {
    fn pick(&mut self, candidates: &[Candidate], _: &mut dyn Rng) -> usize {
        let by_age = || candidates.iter().enumerate();
        let after = by_age().filter(|(_, c)| self.last.is_none_or(|last| c.id > last));
        let next = after.min_by_key(|(_, c)| c.id);
        let next = next.or_else(|| by_age().min_by_key(|(_, c)| c.id));
        self.last = next.map(|(_, c)| c.id);
        next.map_or(0, |(index, _)| index)
    }
}

/// One of those with the fewest calls under way, at random.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeastInFlight;

impl Picker for LeastInFlight {
    fn pick(&mut self, candidates: &[Candidate], rng: &mut dyn Rng) -> usize {
        let fewest = candidates.iter().map(|c| c.in_flight).min();
        let least: Vec<usize> = candidates
            .iter()
            .enumerate()
            .filter(|(_, c)| Some(c.in_flight) == fewest)
            .map(|(index, _)| index)
            .collect();
        match least.len() {
            0 => 0,
            // With the oldest first, all consumers of a new group of endpoints
            // would begin with the same one.
            count => least[rng.random_range(0..count)],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    fn candidate(id: ServiceId, change: impl FnOnce(&mut Candidate)) -> Candidate {
        let mut candidate = Candidate::new(id);
        change(&mut candidate);
        candidate
    }

    /// How often each of the ids is chosen.
    fn tally(picker: &mut dyn Picker, candidates: &[Candidate], times: usize) -> Vec<usize> {
        let mut rng = rng();
        let mut counts = vec![0; candidates.len()];
        for _ in 0..times {
            counts[picker.pick(candidates, &mut rng)] += 1;
        }
        counts
    }

    #[test]
    fn by_ranking_the_highest_wins_and_then_the_oldest() {
        // OSGi rule G04.
        let all = [
            candidate(3, |c| c.ranking = 5),
            candidate(1, |c| c.ranking = -1),
            candidate(2, |c| c.ranking = 5),
        ];
        assert_eq!(tally(&mut Ranking, &all, 10), [0, 0, 10]);
    }

    #[test]
    fn by_priority_the_lowest_group_shares_the_calls_by_weight() {
        let all = [
            candidate(1, |c| (c.priority, c.weight) = (1, 1000)),
            candidate(2, |c| c.weight = 1),
            candidate(3, |c| c.weight = 3),
            candidate(4, |c| c.weight = 6),
        ];
        let counts = tally(&mut Priority, &all, 10_000);
        assert_eq!(counts[0], 0);
        // Of 0..=10 the 0 falls to the first with weight, too.
        for (count, expected) in counts[1..].iter().zip([1818, 2727, 5454]) {
            assert!(count.abs_diff(expected) < 300, "{counts:?}");
        }
    }

    #[test]
    fn without_weights_all_of_a_priority_share_alike_and_beside_weights_they_get_little() {
        let alike = [Candidate::new(1), Candidate::new(2), Candidate::new(3)];
        let counts = tally(&mut Priority, &alike, 9_000);
        assert!(counts.iter().all(|c| c.abs_diff(3000) < 300), "{counts:?}");
        let mixed = [
            Candidate::new(1),
            candidate(2, |c| c.weight = 99),
            candidate(3, |c| c.weight = -5),
        ];
        let counts = tally(&mut Priority, &mixed, 10_000);
        assert!(
            (10..200).contains(&counts[0]) && (10..200).contains(&counts[2]),
            "{counts:?}"
        );
    }

    #[test]
    fn in_turn_each_has_its_place_also_when_others_come_and_go() {
        let mut picker = RoundRobin::default();
        let mut rng = rng();
        let mut next = |ids: &[ServiceId]| {
            let all: Vec<_> = ids.iter().map(|id| Candidate::new(*id)).collect();
            ids[picker.pick(&all, &mut rng)]
        };
        assert_eq!(
            [next(&[3, 1, 2]), next(&[3, 1, 2]), next(&[3, 1, 2])],
            [1, 2, 3]
        );
        assert_eq!(next(&[3, 1, 2]), 1);
        assert_eq!(next(&[1, 3]), 3, "2 is gone");
        assert_eq!(next(&[1, 3, 4]), 4);
        assert_eq!(next(&[1, 3, 4]), 1);
    }

    #[test]
    fn the_fewest_calls_under_way_win_and_equals_share() {
        let all = [
            candidate(1, |c| c.in_flight = 2),
            candidate(2, |c| c.in_flight = 1),
            candidate(3, |c| c.in_flight = 1),
        ];
        let counts = tally(&mut LeastInFlight, &all, 1000);
        assert_eq!(counts[0], 0);
        assert!(counts[1].abs_diff(500) < 100, "{counts:?}");
    }

    proptest! {
        #[test]
        fn every_choice_is_one_of_the_candidates(
            fields in prop::collection::vec((any::<i32>(), any::<i64>(), any::<i64>(), 0..9_usize), 1..9),
            seed in any::<u64>(),
        ) {
            let all: Vec<_> = fields.iter().zip(1..).map(|((ranking, priority, weight, in_flight), id)| {
                Candidate { id, ranking: *ranking, priority: *priority, weight: *weight, in_flight: *in_flight }
            }).collect();
            let mut rng = StdRng::seed_from_u64(seed);
            let pickers: [Box<dyn Picker>; 4] = [
                Box::new(Ranking), Box::new(Priority), Box::new(RoundRobin::default()), Box::new(LeastInFlight),
            ];
            for mut picker in pickers {
                prop_assert!(picker.pick(&all, &mut rng) < all.len());
            }
            let lowest = all.iter().map(|c| c.priority).min();
            prop_assert_eq!(Some(all[Priority.pick(&all, &mut rng)].priority), lowest);
        }
    }
}
