//! The benchmarks: each figure beside the one to reach, as the median of several runs.

mod drain;
mod idle;
mod latency;
mod pacing;
mod replies;
mod stage;
mod table;
mod webhooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::server::Engine;
use crate::{Outcome, Verdict, say};

pub use table::Figure;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Webhooks a second and their acknowledgement.
    Webhooks,
    /// From a message to the reply, at a calm pace.
    Latency,
    /// Replies a second.
    Replies,
    /// Queued sends going out.
    Drain,
    /// Whether numbers keep to their rates, and who goes first.
    Pacing,
    /// Memory and start.
    Idle,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// The engines.
    pub engines: Vec<Engine>,
    /// Only these; all when empty.
    pub only: Vec<Measure>,
    /// Runs of each.
    pub runs: usize,
    /// Print JSON instead of the table.
    pub json: bool,
    /// Webhooks of one run.
    pub webhooks: usize,
    /// Users who write at once.
    pub outstanding: usize,
    /// Seconds that the rate of replies is measured.
    pub seconds: usize,
    /// Sends to drain.
    pub sends: u64,
    /// Tenants that share them.
    pub drain_tenants: usize,
}

/// What one run measured.
#[derive(Debug, Default)]
pub struct Run {
    figures: Vec<(Figure, f64)>,
    /// What was lost, doubled or wrong.
    pub broken: Vec<String>,
}

impl Run {
    /// Adds a figure.
    pub fn add(&mut self, figure: Figure, value: f64) {
        self.figures.push((figure, value));
    }
}

/// All values of each figure on each engine.
pub type Values = BTreeMap<(Figure, &'static str), Vec<f64>>;

/// Measures everything and prints it.
///
/// # Errors
/// When something cannot be measured.
pub fn run(plan: &Plan) -> Outcome<Verdict> {
    let mut values = Values::new();
    let mut broken = Vec::new();
    for measure in Measure::value_variants() {
        if !plan.only.is_empty() && !plan.only.contains(measure) {
            continue;
        }
        for engine in &plan.engines {
            for count in 1..=plan.runs {
                let run = one(plan, *measure, engine)?;
                let shown: Vec<String> = run
                    .figures
                    .iter()
                    .map(|(figure, value)| format!("{} {}", figure.short(), figure.shown(*value)))
                    .collect();
                say::progress(&format!(
                    "{} run {count}: {}",
                    engine.name(),
                    shown.join(", ")
                ));
                broken.extend(
                    run.broken
                        .iter()
                        .map(|text| format!("{}: {text}", engine.name())),
                );
                for (figure, value) in run.figures {
                    values
                        .entry((figure, engine.name()))
                        .or_default()
                        .push(value);
                }
            }
        }
    }
    size(&plan.program, &mut values)?;
    if plan.json {
        say::result(&table::json(&values, plan.runs, &broken).to_string());
    } else {
        say::result(&table::text(&values, plan.runs));
        for problem in &broken {
            say::result(&format!("WRONG: {problem}"));
        }
    }
    Ok(if broken.is_empty() {
        Verdict::Held
    } else {
        Verdict::Broken
    })
}

fn one(plan: &Plan, measure: Measure, engine: &Engine) -> Outcome<Run> {
    let program = &plan.program;
    match measure {
        Measure::Webhooks => webhooks::run(program, engine, plan.webhooks),
        Measure::Latency => latency::run(program, engine, 400),
        Measure::Replies => replies::run(program, engine, plan.outstanding, plan.seconds),
        Measure::Drain => drain::run(program, engine, plan.sends, plan.drain_tenants),
        Measure::Pacing => pacing::run(program, engine),
        Measure::Idle => idle::run(program, engine),
    }
    .map_err(|problem| format!("{measure:?} on {}: {problem}", engine.name()))
}

fn size(program: &Path, values: &mut Values) -> Outcome<()> {
    let size = std::fs::metadata(program)
        .map_err(|error| format!("{}: {error}", program.display()))?
        .len();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    values.insert((Figure::Size, "both"), vec![size as f64 / 1e6]);
    Ok(())
}
