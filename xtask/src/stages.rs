//! `cargo xtask test`: everything a merge must pass, in the order that fails soonest.

use std::path::Path;
use std::time::Instant;

use crate::postgres::{Cluster, Durability};
use crate::rig::{Engine, Kill, Profile};
use crate::ui::Row;
use crate::{Outcome, fuzz, mutants, preflight, process, rig, schema, tidy, ui};

/// Kills of each engine before a merge; a release takes 10,000 by hand.
const KILLS: u32 = 500;

/// Twilio's own client library, for the tests against it.
const TWILIO_CLIENT: &str = "crates/waxwing/tests/twilio-client";

/// How a stage went when it did not fail, with a remark for the table.
enum Done {
    Passed(String),
    Skipped(String),
}

struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Context) -> Outcome<Done>,
}

/// What stages share.
#[derive(Default)]
struct Context {
    cluster: Option<Cluster>,
}

impl Context {
    /// The cluster of this run, started when first needed and stopped when the run ends.
    fn cluster(&mut self) -> Outcome<&Cluster> {
        let cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => Cluster::start(Durability::Off)?,
        };
        Ok(self.cluster.insert(cluster))
    }

    /// The cluster where the engine needs one.
    fn cluster_for(&mut self, engine: Engine) -> Outcome<Option<&Cluster>> {
        match engine {
            Engine::Sqlite => Ok(None),
            Engine::Postgres => self.cluster().map(Some),
        }
    }
}

const STAGES: &[Stage] = &[
    Stage {
        name: "preflight",
        about: "the tools are there; as root on Debian what is missing is installed",
        run: |_| preflight::everything().map(Done::Passed),
    },
    Stage {
        name: "fmt",
        about: "the format",
        run: |_| cargo(&["fmt", "--all", "--", "--check", "-l"], &[]),
    },
    Stage {
        name: "tidy",
        about: "the architecture, the text of the tree, the documents",
        run: |_| tidy::run().map(|()| passed()),
    },
    Stage {
        name: "clippy",
        about: "the lints, as errors",
        run: |_| {
            cargo(
                &[
                    "clippy",
                    "--locked",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-Dwarnings",
                ],
                &[],
            )
        },
    },
    Stage {
        name: "deny",
        about: "licences, sources, who uses what; advisories where their database is at hand",
        run: |_| deny(),
    },
    Stage {
        name: "build",
        about: "everything, in the profile of the tests",
        run: |_| cargo(&["build", "--locked", "--workspace", "--all-targets"], &[]),
    },
    Stage {
        name: "docs",
        about: "the documentation builds without warnings, its examples run",
        run: |_| docs(),
    },
    Stage {
        name: "commands",
        about: "the commands that the documents name are there",
        run: |_| commands(),
    },
    Stage {
        name: "tests",
        about: "all tests, those of the store on SQLite and PostgreSQL; Twilio's client library in Node",
        run: tests,
    },
    Stage {
        name: "fuzz",
        about: "every parser of outside input, tried with whatever breaks it",
        run: |_| fuzz::of_a_merge().map(Done::Passed),
    },
    Stage {
        name: "schema",
        about: "schemathesis over the OpenAPI document: no 5xx, no answer that it does not know",
        run: |_| schema(),
    },
    Stage {
        name: "isolation-sqlite",
        about: "256 people at once in 1,000 tenants on SQLite: every reply to its own sender",
        run: |context| isolation(context, Engine::Sqlite),
    },
    Stage {
        name: "isolation-postgres",
        about: "256 people at once in 1,000 tenants on PostgreSQL: every reply to its own sender",
        run: |context| isolation(context, Engine::Postgres),
    },
    Stage {
        name: "kill-sqlite",
        about: "500 kills on SQLite: nothing lost, nothing doubled",
        run: |context| kills(context, Engine::Sqlite),
    },
    Stage {
        name: "kill-postgres",
        about: "500 kills on PostgreSQL: nothing lost, nothing doubled",
        run: |context| kills(context, Engine::Postgres),
    },
    Stage {
        name: "mutant",
        about: "one deliberately broken build, another with each commit: the harness must fail",
        run: mutant,
    },
];

/// `cargo xtask test [--list | STAGE...]`.
pub fn run(args: &[String]) -> Outcome<()> {
    if args.iter().any(|arg| arg == "--list") {
        for stage in STAGES {
            ui::say(&format!("{:<14} {}", stage.name, stage.about));
        }
        return Ok(());
    }
    let stages = chosen(args)?;
    let started = Instant::now();
    let mut context = Context::default();
    let mut rows: Vec<Row> = Vec::new();
    let mut failure = None;
    for (at, stage) in stages.iter().enumerate() {
        if failure.is_some() {
            rows.push(row(stage, "not run", None, String::new()));
            continue;
        }
        ui::say(&format!(
            "\n=== [{}/{}] {}: {}",
            at + 1,
            stages.len(),
            stage.name,
            stage.about
        ));
        let begun = Instant::now();
        let outcome = (stage.run)(&mut context);
        let took = Some(begun.elapsed());
        rows.push(match outcome {
            Ok(Done::Passed(note)) => row(stage, "passed", took, note),
            Ok(Done::Skipped(note)) => row(stage, "skipped", took, note),
            Err(problem) => {
                ui::complain(&problem);
                failure = Some(stage.name);
                let note = problem.lines().next().unwrap_or_default().to_owned();
                row(stage, "FAILED", took, note)
            }
        });
    }
    drop(context);
    ui::say(&format!(
        "\n=== {} in {}\n{}",
        if failure.is_some() { "failed" } else { "done" },
        ui::elapsed(started.elapsed()),
        ui::table(&rows).trim_end()
    ));
    if let Some(name) = failure {
        ui::complain(&format!(
            "stage `{name}` failed; again alone: cargo xtask test {name}"
        ));
    }
    // The last line of all, in the form that tools read.
    ui::say(&closing(&rows));
    match failure {
        None => Ok(()),
        Some(_) => Err(String::new()),
    }
}

fn row(
    stage: &Stage,
    result: &'static str,
    took: Option<std::time::Duration>,
    note: String,
) -> Row {
    Row {
        name: stage.name.to_owned(),
        result,
        took,
        note,
    }
}

/// The stages of that name, in their order; all of them when none is named.
fn chosen(args: &[String]) -> Outcome<Vec<&'static Stage>> {
    for arg in args {
        if !STAGES.iter().any(|stage| stage.name == arg) {
            let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
            return Err(format!("no stage `{arg}`; there are: {}", names.join(" ")));
        }
    }
    Ok(STAGES
        .iter()
        .filter(|stage| args.is_empty() || args.iter().any(|arg| arg == stage.name))
        .collect())
}

/// Counts stages, in the form that tools read: `stages: 12 passed, 0 failed`.
fn closing(rows: &[Row]) -> String {
    let count = |result: &str| rows.iter().filter(|row| row.result == result).count();
    let mut text = format!(
        "stages: {} passed, {} failed",
        count("passed"),
        count("FAILED")
    );
    let skipped = count("skipped") + count("not run");
    if skipped > 0 {
        text.push_str(&format!(", {skipped} skipped"));
    }
    text
}

/// Whether there is a stage of that name, for the documents.
pub fn exists(name: &str) -> bool {
    STAGES.iter().any(|stage| stage.name == name)
}

fn passed() -> Done {
    Done::Passed(String::new())
}

fn cargo(args: &[&str], env: &[(&str, &str)]) -> Outcome<Done> {
    let mut command = process::cargo();
    command.args(args).envs(env.iter().copied());
    ui::say(&process::shown(&command));
    process::run(&mut command).map(|()| passed())
}

fn deny() -> Outcome<Done> {
    let checks = ["bans", "licenses", "sources"];
    process::run(
        process::cargo()
            .args(["deny", "--locked", "--log-level=error", "check"])
            .args(checks),
    )?;
    if preflight::advisory_database().is_none() {
        return Ok(Done::Passed(
            "advisories not checked: no copy of their database on this machine".to_owned(),
        ));
    }
    let offline = ["deny", "--locked", "--offline", "check", "advisories"];
    process::run(process::cargo().args(offline))?;
    Ok(Done::Passed("with advisories".to_owned()))
}

fn docs() -> Outcome<Done> {
    cargo(
        &["doc", "--locked", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-Dwarnings")],
    )?;
    // Read, not shown: the closing lines of many small test runs would hide the one that counts.
    process::read(process::cargo().args(["test", "--locked", "--workspace", "--doc"]))?;
    Ok(passed())
}

fn commands() -> Outcome<Done> {
    let server = Profile::Dev.server();
    let help = |words: &[&str]| {
        process::read(
            std::process::Command::new(&server)
                .args(words)
                .arg("--help"),
        )
    };
    let named = tidy::documented_waxwing_commands(&process::root())?;
    for (place, words) in &named {
        help_mentions(&help, words).map_err(|problem| format!("{place}: {problem}"))?;
    }
    Ok(Done::Passed(format!("{} mentions", named.len())))
}

/// The first word must be a command; the second, where the command has commands of its own, one of
/// these. What follows is arguments.
fn help_mentions(help: &dyn Fn(&[&str]) -> Outcome<String>, words: &[String]) -> Outcome<()> {
    let mut path: Vec<&str> = Vec::new();
    for word in words.iter().take(2) {
        let text = help(&path)?;
        let Some((_, listed)) = text.split_once("Commands:\n") else {
            return Ok(());
        };
        let known = listed
            .lines()
            .take_while(|line| !line.trim().is_empty())
            .any(|line| line.split_whitespace().next() == Some(word.as_str()));
        if !known {
            let command = path.join(" ");
            return Err(format!("`waxwing {command}` has no command `{word}`"));
        }
        path.push(word);
    }
    Ok(())
}

fn tests(context: &mut Context) -> Outcome<Done> {
    let url = context.cluster()?.url();
    node_modules()?;
    cargo(
        &["nextest", "run", "--locked", "--workspace"],
        &[
            ("REQUIRE_POSTGRES", "1"),
            ("REQUIRE_NODE", "1"),
            ("REQUIRE_REDIS", "1"),
            ("WAXWING_TEST_PG_URL", &url),
        ],
    )
}

fn schema() -> Outcome<Done> {
    let server = Profile::Dev.server();
    built(&server)?;
    Ok(match schema::run(&server)? {
        Ok(note) => Done::Passed(note),
        Err(why) => Done::Skipped(why),
    })
}

/// Installs what tests run in Node, as their lock file says. Nothing that comes with it is executed.
fn node_modules() -> Outcome<()> {
    let mut npm = std::process::Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(process::root().join(TWILIO_CLIENT));
    process::read(&mut npm).map(|_| ())
}

fn isolation(context: &mut Context, engine: Engine) -> Outcome<Done> {
    let cluster = context.cluster_for(engine)?;
    built(&Profile::Dev.server())?;
    if rig::isolation(engine, cluster)? {
        Ok(passed())
    } else {
        Err("a reply or a row went astray; the report above says which".to_owned())
    }
}

fn kills(context: &mut Context, engine: Engine) -> Outcome<Done> {
    let cluster = context.cluster_for(engine)?;
    built(&Profile::Dev.server())?;
    let kill = Kill {
        server: &Profile::Dev.server(),
        engine,
        kills: KILLS,
        cluster,
        shown: true,
    };
    if kill.run()? {
        Ok(Done::Passed(format!("{KILLS} kills")))
    } else {
        Err("a promise was broken; the report above says which".to_owned())
    }
}

fn built(program: &Path) -> Outcome<()> {
    if program.is_file() {
        Ok(())
    } else {
        Err(format!(
            "{} is not built: run the stage `build`",
            program.display()
        ))
    }
}

fn mutant(context: &mut Context) -> Outcome<Done> {
    match mutants::of_this_commit()? {
        None => Ok(Done::Skipped(
            "there is no mutant in xtask/mutants".to_owned(),
        )),
        Some(mutant) => {
            let note = format!("{} caught", mutant.name());
            mutants::try_all(&[mutant], context.cluster()?)?;
            Ok(Done::Passed(note))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(result: &'static str) -> Row {
        Row {
            name: "x".to_owned(),
            result,
            took: None,
            note: String::new(),
        }
    }

    #[test]
    fn the_closing_line_counts_what_did_not_run() {
        let rows = [named("passed"), named("passed")];
        assert_eq!(closing(&rows), "stages: 2 passed, 0 failed");
        let rows = [
            named("passed"),
            named("FAILED"),
            named("not run"),
            named("skipped"),
        ];
        assert_eq!(closing(&rows), "stages: 1 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn stages_are_chosen_by_name_and_keep_their_order() {
        let names = |args: &[&str]| -> Outcome<Vec<&str>> {
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            Ok(chosen(&args)?.iter().map(|stage| stage.name).collect())
        };
        assert_eq!(names(&["tests", "fmt"]), Ok(vec!["fmt", "tests"]));
        assert_eq!(names(&[]).map(|all| all.len()), Ok(STAGES.len()));
        assert!(names(&["fmt", "nonsense"]).is_err());
    }

    #[test]
    fn a_document_that_names_a_missing_command_is_found() {
        let help = |words: &[&str]| -> Outcome<String> {
            Ok(match words {
                [] => "Usage\n\nCommands:\n  serve    Runs\n  migrate  Moves\n\nOptions:\n  -h\n"
                    .into(),
                ["migrate"] => "Commands:\n  up\n  down\n".into(),
                _ => "Options:\n  --role\n".into(),
            })
        };
        let check = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            help_mentions(&help, &words)
        };
        assert_eq!(check(&["serve"]), Ok(()));
        assert_eq!(check(&["serve", "anything"]), Ok(()));
        assert_eq!(check(&["migrate", "up"]), Ok(()));
        assert!(check(&["migrate", "sideways"]).is_err());
        assert!(check(&["fly"]).is_err());
    }
}
