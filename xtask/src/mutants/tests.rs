//! The machinery is tried on a toy: a "server" that is one line of text, and a harness that reads it.

use super::*;
use crate::tree::Scratch;

const TEXT: &str = "\
file: src/server.txt
why: answers before the commit
expect: kill
--- search
commit
answer
--- replace
answer
commit
--- end
";

fn mutant() -> Mutant {
    parse("early", TEXT).expect("a good mutant")
}

/// Judges like the kill harness would: the answer must come after the commit.
struct Toy {
    builds: bool,
    blind: bool,
}

impl Harness for Toy {
    fn build(&mut self, _: &Path, _: &Mutant) -> Outcome<()> {
        if self.builds {
            Ok(())
        } else {
            Err("does not build".to_owned())
        }
    }

    fn judge(&mut self, tree: &Path, _: &Mutant) -> Outcome<Verdict> {
        let server = text(&tree.join("src/server.txt"))?;
        let broken = server.find("answer") < server.find("commit");
        Ok(if broken && !self.blind {
            Verdict::Caught
        } else {
            Verdict::Survived
        })
    }
}

fn outcome(name: &str, server: &str, mut toy: Toy) -> Outcome<Verdict> {
    let scratch = Scratch::new(name);
    let (from, copy) = (scratch.0.join("from"), scratch.0.join("copy"));
    tree::write(&from.join("src/server.txt"), server.as_bytes())?;
    let verdict = trial(&mutant(), &from, &copy, &mut toy);
    assert_eq!(
        text(&from.join("src/server.txt")).as_deref(),
        Ok(server),
        "the tree itself stays whole"
    );
    verdict
}

const SERVER: &str = "receive\ncommit\nanswer\n";

#[test]
fn a_seeing_harness_catches_and_a_blind_one_lets_survive() {
    let seeing = Toy {
        builds: true,
        blind: false,
    };
    assert_eq!(outcome("seeing", SERVER, seeing), Ok(Verdict::Caught));
    let blind = Toy {
        builds: true,
        blind: true,
    };
    assert_eq!(outcome("blind", SERVER, blind), Ok(Verdict::Survived));
}

#[test]
fn a_mutant_that_does_not_build_is_not_a_catch() {
    let toy = Toy {
        builds: false,
        blind: false,
    };
    assert_eq!(
        outcome("unbuilt", SERVER, toy),
        Err("does not build".to_owned())
    );
}

#[test]
fn the_search_block_must_match_exactly_once() {
    for (count, server) in [
        (0, "receive\nanswer\n"),
        (2, "commit\nanswer\ncommit\nanswer\n"),
    ] {
        let toy = Toy {
            builds: true,
            blind: false,
        };
        let problem = outcome(&format!("matches{count}"), server, toy).expect_err("not once");
        assert!(
            problem.contains(&format!("occurs {count} times")),
            "{problem}"
        );
    }
}

#[test]
fn a_trial_starts_from_the_whole_tree_again() {
    let scratch = Scratch::new("again");
    let (from, copy) = (scratch.0.join("from"), scratch.0.join("copy"));
    tree::write(&from.join("src/server.txt"), SERVER.as_bytes()).expect("written");
    for _ in 0..2 {
        let mut toy = Toy {
            builds: true,
            blind: false,
        };
        assert_eq!(
            trial(&mutant(), &from, &copy, &mut toy),
            Ok(Verdict::Caught)
        );
    }
    assert_eq!(
        text(&copy.join("src/server.txt")).as_deref(),
        Ok("receive\nanswer\ncommit\n")
    );
}

#[test]
fn headers_are_read_and_checked() {
    assert_eq!(
        mutant().expect,
        Expect::Kill {
            engine: Engine::Sqlite,
            kills: KILLS
        }
    );
    let other = TEXT.replace("expect: kill", "expect: kill\nengine: postgres\nkills: 40");
    assert_eq!(
        parse("other", &other).map(|mutant| mutant.expect),
        Ok(Expect::Kill {
            engine: Engine::Postgres,
            kills: 40
        })
    );
    let test = TEXT.replace("expect: kill", "expect: test waxwing isolation::");
    assert_eq!(
        parse("test", &test).map(|mutant| mutant.expect),
        Ok(Expect::Test {
            package: "waxwing".to_owned(),
            name: "isolation::".to_owned()
        })
    );
    for (from, to, words) in [
        ("file: src/server.txt", "", "no `file:`"),
        ("expect: kill", "expect: luck", "`expect` is"),
        ("why:", "because: x\nwhy:", "unknown line `because`"),
        ("--- end", "", "no line `--- end`"),
        (
            "--- search\ncommit\nanswer\n",
            "--- search\nanswer\ncommit\n",
            "must differ",
        ),
    ] {
        let problem = parse("bad", &TEXT.replace(from, to)).expect_err(words);
        assert!(problem.contains(words), "{problem}");
    }
}

#[test]
fn every_mutant_has_its_turn() {
    assert_eq!(turn("00000000ffff", 5), 0);
    assert_eq!(turn("00000007ffff", 5), 2);
    assert_eq!(turn("", 5), 0);
    let mut seen: Vec<usize> = (0..5)
        .map(|commit| turn(&format!("{commit:08x}"), 5))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}
