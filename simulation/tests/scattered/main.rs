//! Rejections that do not concern the pace: a server that fails requests at random, and requests that it never accepts.

mod job;
mod poison;
mod server;

use std::ops::Range;

use simulation::say;

use self::{job::Client, poison::used};

/// A script that keeps a fixed pace and obeys each response is what most programs are compared with. Several 429s within
/// seconds are taken for a lower limit.
#[test]
fn failures_at_random_cost_little_more_than_a_script_pays_for_them() {
    for client in [Client::Default, Client::Written] {
        let mut ratios: Vec<_> = SEEDS
            .map(|seed| {
                let [own, script] = [client, Client::Script].map(|client| job::run(client, seed));
                assert_eq!(own.failed, 0, "seed {seed}");
                own.seconds / script.seconds
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        say(format_args!(
            "chaos, {client:?}: {median:.2} times a script's time, {ratios:.2?}"
        ));
        assert!(median <= 1.5 && ratios[0] <= 1.3, "{client:?} {ratios:.2?}");
    }
}

/// One request in a hundred is larger than the server accepts, and gets a 429 each time.
#[test]
fn requests_that_are_never_accepted_do_not_stop_their_lane() {
    for wait in [Some(1), None] {
        let mut shares: Vec<_> = SEEDS.map(|seed| used(wait, seed)).collect();
        shares.sort_by(f64::total_cmp);
        let median = shares[shares.len() / 2];
        say(format_args!(
            "never accepted, {wait:?}: {median:.0} % used, {shares:.0?}"
        ));
        assert!(median >= 80.0 && shares[0] >= 30.0, "{wait:?} {shares:.0?}");
    }
}

const SEEDS: Range<u64> = 0..20;
