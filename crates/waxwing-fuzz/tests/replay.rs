//! Everything that the search starts from, and all that it ever found, keeps its rules.

use waxwing_fuzz::{TARGETS, seeds};

#[test]
fn what_is_known_breaks_nothing() {
    for (name, target) in TARGETS {
        let known = seeds(name);
        assert!(known.len() > 500, "the fixtures are not found");
        for seed in known {
            target(&seed);
            // Broken off, as a connection breaks off.
            target(&seed[..seed.len() / 2]);
        }
    }
}

#[test]
fn every_target_has_a_name_of_its_own() {
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
    for name in names {
        assert!(waxwing_fuzz::target(name).is_some());
    }
    assert!(waxwing_fuzz::target("nothing").is_none());
}
