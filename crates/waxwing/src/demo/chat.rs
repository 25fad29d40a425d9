//! A conversation in the terminal: lines are what the customer writes, `#1` is a tap on the first button.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::sync::mpsc;
use waxwing_emulator::{Phone, ShownMessage};

use crate::terminal::say;

/// Lines that wait to be sent.
const LINES_MAX: usize = 64;
/// How often it is looked whether the chat goes on when nobody writes.
const A_LONG_TIME: Duration = Duration::from_secs(3600);

/// What a number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Button(String),
    Row(String),
}

/// Holds the conversation until the person at the terminal ends it. Where nobody is at a terminal and the input has
/// ended, it goes on showing what comes, for ever.
pub async fn hold(phone: &Phone) {
    let at_terminal = std::io::stdin().is_terminal();
    let mut lines = read_lines();
    let mut choices = phone
        .thread()
        .iter()
        .rev()
        .find(|message| message.from_business)
        .map(choices)
        .unwrap_or_default();
    let mut open = true;
    prompt(at_terminal);
    loop {
        tokio::select! {
            line = lines.recv(), if open => match line {
                Some(line) => {
                    act(phone, line.trim(), &choices);
                    prompt(at_terminal);
                }
                None if at_terminal => return,
                None => open = false,
            },
            message = phone.await_reply(A_LONG_TIME) => if let Ok(message) = message {
                say(&format!("{}{}", if at_terminal { "\r" } else { "" }, shown(&message)));
                let new = self::choices(&message);
                if !new.is_empty() {
                    choices = new;
                }
                prompt(at_terminal);
            },
        }
    }
}

/// The lines of standard input, read on a thread that ends with the process.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn prompt(at_terminal: bool) {
    if at_terminal {
        let mut out = std::io::stdout().lock();
        // The prompt is a courtesy.
        let _ = write!(out, "you> ").and_then(|()| out.flush());
    }
}

fn act(phone: &Phone, line: &str, choices: &[Choice]) {
    if line.is_empty() {
        return;
    }
    let Some(number) = line
        .strip_prefix('#')
        .and_then(|rest| rest.parse::<usize>().ok())
    else {
        phone.say(line);
        return;
    };
    let tapped = match number.checked_sub(1).and_then(|at| choices.get(at)) {
        Some(Choice::Button(id)) => phone.tap(id).is_ok(),
        Some(Choice::Row(id)) => phone.pick(id).is_ok(),
        None => false,
    };
    if !tapped {
        say(&format!(
            "there is no #{number}; there are {}",
            choices.len()
        ));
    }
}

/// What can be tapped on a message, in the order of the numbers.
fn choices(message: &ShownMessage) -> Vec<Choice> {
    let buttons = message
        .buttons
        .iter()
        .filter(|button| !button.id.is_empty());
    let rows = message.sections.iter().flat_map(|section| &section.rows);
    buttons
        .map(|button| Choice::Button(button.id.clone()))
        .chain(rows.map(|row| Choice::Row(row.id.clone())))
        .collect()
}

/// A message as lines of text.
pub fn shown(message: &ShownMessage) -> String {
    let mut lines: Vec<String> = Vec::new();
    if let Some(header) = &message.header {
        lines.push(format!("* {header} *"));
    }
    lines.extend(message.text.lines().map(str::to_owned));
    if let Some(footer) = &message.footer {
        lines.push(format!("({footer})"));
    }
    let mut number = 0;
    let mut choice = |title: &str, description: Option<&str>| {
        number += 1;
        let description = description
            .map(|text| format!(" - {text}"))
            .unwrap_or_default();
        format!("  #{number} {title}{description}")
    };
    for button in message
        .buttons
        .iter()
        .filter(|button| !button.id.is_empty())
    {
        lines.push(choice(&button.title, None));
    }
    if let Some(button) = &message.list_button {
        lines.push(format!("[{button}]"));
    }
    for section in &message.sections {
        lines.extend(section.title.clone());
        for row in &section.rows {
            lines.push(choice(&row.title, row.description.as_deref()));
        }
    }
    if lines.is_empty() {
        lines.push(format!("({})", message.kind));
    }
    // What is shown must not steer the terminal.
    let lines = lines
        .iter()
        .map(|line| format!("bot> {}", line.replace(char::is_control, " ")));
    lines.collect::<Vec<_>>().join("\n")
}
