//! The table of figures, and what each has to reach.

use serde_json::{Value, json};

use super::Values;

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Durable webhooks a second.
    Webhooks,
    /// Half of the acknowledgements are faster.
    AckMedian,
    /// 99 of 100 acknowledgements are faster.
    AckTail,
    /// From the last acknowledgement to the last effect.
    Backlog,
    /// Half of the replies are faster.
    ReplyMedian,
    /// 99 of 100 replies are faster.
    ReplyTail,
    /// Replies a second.
    Replies,
    /// Replies in the worst second.
    WorstSecond,
    /// Time for the queued sends to go out.
    Drain,
    /// Sends queued a second through the API.
    Queueing,
    /// Sends a second of a number that may send 80.
    PacedRate,
    /// That, in hundredths of what it may.
    PacedShare,
    /// The smaller part of two tenants that share a worker, in hundredths of the larger.
    EqualParts,
    /// Half of the replies that overtake 10,000 sends are faster.
    OvertakeMedian,
    /// 99 of 100 of them are faster.
    OvertakeTail,
    /// Resident memory of an idle server.
    Memory,
    /// From the start of the program to ready.
    Start,
    /// The program.
    Size,
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy)]
enum Goal {
    AtLeast(f64),
    Below(f64),
    Within(f64, f64),
}

impl Goal {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::Below(goal) => value < goal,
            Self::Within(least, most) => (least..=most).contains(&value),
        }
    }
}

/// How a figure is shown: label, short label, unit, digits behind the point, what the Node stack reaches on such a
/// machine.
struct Looks(
    &'static str,
    &'static str,
    &'static str,
    usize,
    &'static str,
);

impl Figure {
    const ALL: [Self; 18] = [
        Self::Webhooks,
        Self::AckMedian,
        Self::AckTail,
        Self::Backlog,
        Self::ReplyMedian,
        Self::ReplyTail,
        Self::Replies,
        Self::WorstSecond,
        Self::Drain,
        Self::Queueing,
        Self::PacedRate,
        Self::PacedShare,
        Self::EqualParts,
        Self::OvertakeMedian,
        Self::OvertakeTail,
        Self::Memory,
        Self::Start,
        Self::Size,
    ];

    const fn looks(self) -> Looks {
        match self {
            Self::Webhooks => Looks(
                "durable webhooks, 256 connections",
                "webhooks",
                "/s",
                0,
                "2,024/s",
            ),
            Self::AckMedian => Looks("  acknowledged, p50", "ack p50", "ms", 2, "6.8 ms"),
            Self::AckTail => Looks("  acknowledged, p99", "ack p99", "ms", 2, ""),
            Self::Backlog => Looks("  all handled after the last one", "backlog", "s", 2, ""),
            Self::ReplyMedian => Looks("message to reply at 20/s, p50", "reply p50", "ms", 2, ""),
            Self::ReplyTail => Looks("message to reply at 20/s, p99", "reply p99", "ms", 2, ""),
            Self::Replies => Looks("sustained replies, none lost", "replies", "/s", 0, "700/s"),
            Self::WorstSecond => Looks("  in the worst second", "worst second", "/s", 0, ""),
            Self::Drain => Looks(
                "10,000 queued sends, answers in 50 ms",
                "drain",
                "s",
                2,
                "12.2 s",
            ),
            Self::Queueing => Looks("  queued through the API", "queued", "/s", 0, ""),
            Self::PacedRate => Looks("1,600 sends of a number with 80/s", "paced", "/s", 1, ""),
            Self::PacedShare => Looks("  of what it may", "share", "%", 1, ""),
            Self::EqualParts => Looks("smaller part of two tenants", "parts", "%", 1, ""),
            Self::OvertakeMedian => Looks(
                "reply before 10,000 sends, p50",
                "overtake p50",
                "ms",
                1,
                "",
            ),
            Self::OvertakeTail => Looks(
                "reply before 10,000 sends, p99",
                "overtake p99",
                "ms",
                1,
                "",
            ),
            Self::Memory => Looks("idle memory (resident)", "memory", "MiB", 1, "254 MiB"),
            Self::Start => Looks("ready on an existing database", "ready", "ms", 0, ""),
            Self::Size => Looks("release binary", "binary", "MB", 1, ""),
        }
    }

    fn goal(self, engine: &str) -> Option<Goal> {
        let sqlite = engine == "sqlite";
        Some(match self {
            Self::Webhooks if sqlite => Goal::AtLeast(25_000.0),
            Self::Webhooks => Goal::AtLeast(15_000.0),
            Self::AckTail => Goal::Below(20.0),
            Self::ReplyMedian if sqlite => Goal::Below(1.0),
            Self::ReplyTail if sqlite => Goal::Below(3.0),
            Self::Replies => Goal::AtLeast(4_000.0),
            Self::Drain => Goal::Below(2.0),
            Self::PacedRate => Goal::Within(76.0, 84.0),
            Self::PacedShare => Goal::Within(95.0, 105.0),
            Self::EqualParts => Goal::AtLeast(95.0),
            Self::OvertakeTail => Goal::Below(100.0),
            Self::Memory => Goal::Below(20.0),
            Self::Start => Goal::Below(100.0),
            Self::Size => Goal::Below(30.0),
            _ => return None,
        })
    }

    const fn goal_text(self) -> &'static str {
        match self {
            Self::Webhooks => "≥ 25,000/s (PostgreSQL 15,000)",
            Self::AckTail => "< 20 ms",
            Self::ReplyMedian => "< 1 ms (SQLite)",
            Self::ReplyTail => "< 3 ms (SQLite)",
            Self::Replies => "≥ 4,000/s (aim 8,000)",
            Self::Drain => "< 2 s",
            Self::PacedRate => "80/s ± 5 %",
            Self::PacedShare => "95..105 %",
            Self::EqualParts => "≥ 95 %",
            Self::OvertakeTail => "< 100 ms",
            Self::Memory => "< 20 MiB",
            Self::Start => "< 100 ms",
            Self::Size => "< 30 MB",
            Self::AckMedian
            | Self::Backlog
            | Self::WorstSecond
            | Self::Queueing
            | Self::OvertakeMedian => "",
        }
    }

    /// A few words.
    #[must_use]
    pub const fn short(self) -> &'static str {
        self.looks().1
    }

    /// A value with its unit.
    #[must_use]
    pub fn shown(self, value: f64) -> String {
        let Looks(_, _, unit, digits, _) = self.looks();
        let blank = if unit.starts_with('/') { "" } else { " " };
        format!("{}{blank}{unit}", number(value, digits))
    }
}

/// A number with commas between the thousands.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn sorted(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut values = values.to_vec();
    let median = crate::stats::quantile(&mut values, 0.5);
    Some((median, *values.first()?, *values.last()?))
}

fn cell(values: &Values, figure: Figure, engine: &'static str) -> String {
    let found = values
        .get(&(figure, engine))
        .or_else(|| values.get(&(figure, "both")));
    let Some((median, least, most)) = found.and_then(|values| sorted(values)) else {
        return "-".to_owned();
    };
    let mark = match figure.goal(engine) {
        Some(goal) if !goal.reached(median) => " ✗",
        Some(_) => " ✓",
        None => "",
    };
    let digits = figure.looks().3;
    let range = if least < most {
        format!(" ({}..{})", number(least, digits), number(most, digits))
    } else {
        String::new()
    };
    format!("{}{range}{mark}", figure.shown(median))
}

/// The table for people.
#[must_use]
pub fn text(values: &Values, runs: usize) -> String {
    let mut rows = vec![[
        format!("median of {runs} (least..most)"),
        "SQLite".to_owned(),
        "PostgreSQL".to_owned(),
        "to reach".to_owned(),
        "Node stack".to_owned(),
    ]];
    for figure in Figure::ALL {
        let cells = ["sqlite", "postgres"].map(|engine| cell(values, figure, engine));
        if cells.iter().all(|cell| cell == "-") {
            continue;
        }
        let [sqlite, postgres] = cells;
        let looks = figure.looks();
        rows.push([
            looks.0.to_owned(),
            sqlite,
            postgres,
            figure.goal_text().to_owned(),
            looks.4.to_owned(),
        ]);
    }
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    format!(
        "{}\nLoad generator, emulator and database share the machine's {} processors with the server.",
        lines.join("\n"),
        std::thread::available_parallelism().map_or(0, usize::from)
    )
}

/// The figures for programs.
#[must_use]
pub fn json(values: &Values, runs: usize, broken: &[String]) -> Value {
    let figures: Vec<Value> = values
        .iter()
        .filter_map(|((figure, engine), values)| {
            let (median, least, most) = sorted(values)?;
            let looks = figure.looks();
            Some(json!({
                "figure": looks.1,
                "engine": engine,
                "unit": looks.2.trim_start_matches('/'),
                "median": median,
                "min": least,
                "max": most,
                "runs": values,
                "goal": figure.goal_text(),
                "reached": figure.goal(engine).map(|goal| goal.reached(median)),
            }))
        })
        .collect();
    json!({"runs": runs, "figures": figures, "wrong": broken})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(25_123.4, 0), "25,123");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(number(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(number(0.456, 2), "0.46");
        assert_eq!(number(-1234.0, 0), "-1,234");
    }

    #[test]
    fn a_missed_goal_is_marked() {
        let mut values = Values::new();
        values.insert(
            (Figure::Webhooks, "sqlite"),
            vec![26_000.0, 24_000.0, 25_500.0],
        );
        values.insert((Figure::Webhooks, "postgres"), vec![14_000.0]);
        let text = text(&values, 3);
        assert!(text.contains("25,500/s (24,000..26,000) ✓"), "{text}");
        assert!(text.contains("14,000/s ✗"), "{text}");
        assert!(!text.contains("drain"), "{text}");
    }
}
