//! `chaos faults`: everything that a provider can do wrong, each to a tenant of its own, and what each must lead to.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_emulator::{Fault, FaultMatch, FaultPoint, FaultRule, FaultScript};

use super::book::Book;
use super::scene::{self, Scene};
use super::verdict_lines;
use crate::api::Api;
use crate::emu::Provider;
use crate::server::Engine;
use crate::{Outcome, Verdict, meta, say, world};

/// One fault and its end.
#[derive(Debug, Clone)]
struct Case {
    name: &'static str,
    /// What the provider does, and to which of its sends and statuses.
    rules: Vec<(FaultPoint, Vec<u64>, Fault)>,
    status: &'static str,
    class: Option<&'static str>,
    unknown: bool,
    twice: bool,
    attempts: i64,
    /// How many times the provider accepted it.
    accepted: usize,
    /// Tenants of this case let an unknown outcome be sent once more.
    resend: bool,
}

impl Case {
    fn new(name: &'static str, fault: Fault) -> Self {
        Self {
            name,
            rules: vec![(FaultPoint::Send, vec![1], fault)],
            status: "delivered",
            class: None,
            unknown: false,
            twice: false,
            attempts: 1,
            accepted: 1,
            resend: false,
        }
    }

    /// Refused at first, accepted at the second attempt.
    fn again(name: &'static str, fault: Fault) -> Self {
        Self {
            attempts: 2,
            ..Self::new(name, fault)
        }
    }

    /// Nobody knows.
    fn unknown(name: &'static str, fault: Fault) -> Self {
        Self {
            status: "sending",
            class: Some("unknown"),
            unknown: true,
            accepted: 0,
            ..Self::new(name, fault)
        }
    }

    fn failed(name: &'static str, fault: Fault, class: &'static str) -> Self {
        Self {
            status: "failed",
            class: Some(class),
            accepted: 0,
            ..Self::new(name, fault)
        }
    }

    /// With all statuses of the first acceptance lost as well.
    fn without_statuses(mut self) -> Self {
        self.rules
            .push((FaultPoint::Status, vec![1, 2], Fault::Drop));
        self
    }
}

const fn refused(code: i64, status: Option<u16>, retry_after: Option<u32>) -> Fault {
    Fault::Error {
        code,
        status,
        retry_after,
    }
}

/// The class table. The redirect comes first: it leads to the number of its own tenant.
fn cases(graph_url: &str) -> Vec<Case> {
    let messages = format!("{graph_url}/v25.0/{}/messages", meta::phone_number_id(0));
    let redirect = Fault::Redirect {
        location: messages,
        status: 307,
    };
    let mut cases = vec![Case::unknown("redirect (307 to itself)", redirect)];
    cases.extend(refusals());
    cases.extend(unreadable());
    cases.extend(silence());
    cases
}

/// Error objects.
fn refusals() -> Vec<Case> {
    let always = refused(131_000, Some(500), None);
    vec![
        // That a number is too fast is no message's fault.
        Case {
            attempts: 1,
            ..Case::again("429 with Retry-After", refused(130_429, Some(429), Some(1)))
        },
        Case {
            attempts: 1,
            ..Case::again("429 without Retry-After", refused(130_429, Some(429), None))
        },
        Case::again("pair rate limit", refused(131_056, None, None)),
        Case::again("500 with an error object", always.clone()),
        Case {
            rules: vec![(FaultPoint::Send, Vec::new(), always.clone())],
            attempts: 5,
            ..Case::failed("500 with an error object, always", always, "retry")
        },
        Case {
            accepted: 1,
            ..Case::failed(
                "fails after acceptance",
                Fault::Fail { code: 131_026 },
                "not_reachable",
            )
        },
        Case::failed(
            "not reachable",
            refused(131_026, None, None),
            "not_reachable",
        ),
        Case::failed(
            "window closed",
            refused(131_047, None, None),
            "window_closed",
        ),
        Case::failed(
            "error object with 200",
            Fault::ErrorWith200 { code: 131_026 },
            "not_reachable",
        ),
        Case {
            status: "queued",
            attempts: 0,
            ..Case::failed(
                "token refused",
                refused(190, Some(401), None),
                "credentials",
            )
        },
    ]
}

/// Answers that are none of Meta's.
fn unreadable() -> Vec<Case> {
    let html = |accepted| Fault::Html502 { accepted };
    let empty = |accepted| Fault::Empty {
        status: 500,
        accepted,
    };
    vec![
        Case::unknown("HTML 502, not accepted", html(false)),
        Case::new("HTML 502, accepted", html(true)),
        Case::unknown("empty 500, not accepted", empty(false)),
        Case::new("empty 500, accepted", empty(true)),
        Case::new("truncated JSON", Fault::TruncatedJson),
        Case::new("JSON of another shape", Fault::WrongJson),
        Case::new("no message id", Fault::NoMessageId),
        Case::new("no wa_id", Fault::NoWaId),
        Case::new("one byte a millisecond", Fault::Drip { ms: 1 }),
        Case::new("answer of 3 MiB", Fault::Huge { bytes: 3 << 20 }),
        Case::new("gzip bomb", Fault::GzipBomb),
        Case::new("held for quality", Fault::Held { ms: 400 }),
    ]
}

/// Answers that do not come, or come late.
fn silence() -> Vec<Case> {
    vec![
        Case::unknown("reset before the answer, not accepted", Fault::ResetBefore),
        Case::new("reset inside the answer", Fault::ResetInside),
        Case::new("reset after acceptance", Fault::ResetAfter),
        Case::new("answer lost", Fault::LoseAnswer),
        Case::new("silence after acceptance", Fault::NeverAnswer),
        Case::new("status before the answer", Fault::StatusFirst),
        Case {
            status: "sent",
            ..Case::new("no status ever", Fault::Swallow)
        },
        Case {
            accepted: 1,
            ..Case::unknown("answer and statuses lost, held", Fault::LoseAnswer).without_statuses()
        },
        Case {
            attempts: 2,
            accepted: 2,
            twice: true,
            resend: true,
            ..Case::new(
                "answer and statuses lost, sent once more",
                Fault::LoseAnswer,
            )
            .without_statuses()
        },
        Case {
            attempts: 2,
            twice: true,
            resend: true,
            ..Case::new(
                "reset before the answer, sent once more",
                Fault::ResetBefore,
            )
        },
    ]
}

fn script(cases: &[Case]) -> FaultScript {
    let rules = cases.iter().enumerate().flat_map(|(place, case)| {
        case.rules.iter().map(move |(on, nth, act)| FaultRule {
            on: *on,
            when: FaultMatch {
                nth: nth.clone(),
                ..FaultMatch::to(recipient(place))
            },
            act: act.clone(),
        })
    });
    FaultScript {
        seed: Some(1),
        rules: rules.collect(),
    }
}

fn recipient(place: usize) -> String {
    (world::SENT_TO + u64::try_from(place).unwrap_or(0)).to_string()
}

/// Runs it.
///
/// # Errors
/// When it cannot be run.
pub fn run(program: &Path, engine: &Engine) -> Outcome<Verdict> {
    let book = Arc::new(Book::new(0, 0));
    let provider = Provider::start(scene::provider_config(&book))?;
    let cases = cases(&provider.get().url());
    provider.get().set_faults(script(&cases));
    let site = scene::site(program, engine, &provider)?;
    let (server, ready) = site.start_ready(scene::READY)?;
    let before = server.resident()?;
    let scene = Scene::build(&server, &ready, provider, book, cases.len(), 1)?;
    let recipients = u64::try_from(cases.len()).unwrap_or(0);
    scene.greeted(world::SENT_TO..world::SENT_TO + recipients)?;
    let ends = scene.runtime.block_on(watch(&scene, &cases))?;
    let mut broken = Vec::new();
    for (case, end) in cases.iter().zip(&ends) {
        let wrong = differences(case, end);
        let mark = if wrong.is_empty() { "ok   " } else { "WRONG" };
        let message = &end.message;
        say::result(&format!(
            "  {mark} {:<42} {}{}, {} attempts, accepted {}{}",
            case.name,
            message["status"].as_str().unwrap_or("none"),
            message["error"]["class"]
                .as_str()
                .map_or(String::new(), |class| format!(" ({class})")),
            message["attempts"],
            end.accepted,
            if end.took > Duration::from_secs(3) {
                format!(", after {:.1} s", end.took.as_secs_f64())
            } else {
                String::new()
            },
        ));
        broken.extend(
            wrong
                .into_iter()
                .map(|text| format!("{}: {text}", case.name)),
        );
    }
    let after = server.resident()?;
    if after > before + (96 << 20) {
        broken.push(format!("memory rose from {before} to {after} bytes"));
    }
    // One call hangs on purpose; an end in good order would wait for it.
    if let Err(death) = server.kill() {
        broken.push(death);
    }
    let name = format!(
        "provider faults on {}, {} cases",
        engine.name(),
        cases.len()
    );
    Ok(verdict_lines(&name, &broken))
}

/// How a case ended.
#[derive(Debug)]
struct End {
    message: Value,
    accepted: usize,
    took: Duration,
}

/// Sends one message for each case and waits until each has ended as it must, or long enough.
async fn watch(scene: &Scene, cases: &[Case]) -> Outcome<Vec<End>> {
    let mut api = Api::new(scene.traffic.address);
    let tenants = &scene.traffic.tenants;
    let mut ids = Vec::new();
    let began = Instant::now();
    for (place, case) in cases.iter().enumerate() {
        let tenant = &tenants[place].id;
        if case.resend {
            let path = format!("/api/tenants/{tenant}/settings");
            let settings = json!({"unknownOutcome": "resend_once"});
            api.expect("PATCH", &path, Some(&settings), 200).await?;
        }
        let body = json!({"to": format!("+{}", recipient(place)), "text": case.name});
        let path = format!("/api/tenants/{tenant}/send");
        let answer = api.expect("POST", &path, Some(&body), 202).await?;
        ids.push(
            answer["message"]["id"]
                .as_str()
                .unwrap_or("none")
                .to_owned(),
        );
    }
    let mut ends: Vec<Option<End>> = cases.iter().map(|_| None).collect();
    loop {
        let late = began.elapsed() > Duration::from_secs(40);
        // An unknown outcome must last: it is read only when a resend would have happened.
        let early = began.elapsed() < Duration::from_secs(6);
        for (place, case) in cases.iter().enumerate() {
            let lasts = case.unknown || case.status == "sent" || case.status == "queued";
            if ends[place].is_some() || (lasts && early) {
                continue;
            }
            let message = api.message(&tenants[place].id, &ids[place]).await?;
            let to = recipient(place);
            let accepted = scene.provider.get().ledger().count(|send| *send.to == *to);
            let end = End {
                message,
                accepted,
                took: began.elapsed(),
            };
            if late || differences(case, &end).is_empty() {
                ends[place] = Some(end);
            }
        }
        if ends.iter().all(Option::is_some) {
            return Ok(ends.into_iter().flatten().collect());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn differences(case: &Case, end: &End) -> Vec<String> {
    let message = &end.message;
    let mut wrong = Vec::new();
    let mut check = |what: &str, got: &Value, wanted: Value| {
        if *got != wanted {
            wrong.push(format!("{what} is {got}, not {wanted}"));
        }
    };
    check("status", &message["status"], json!(case.status));
    check("class", &message["error"]["class"], json!(case.class));
    check(
        "outcomeUnknown",
        &message["outcomeUnknown"],
        json!(case.unknown),
    );
    check(
        "mayBeDuplicate",
        &message["mayBeDuplicate"],
        json!(case.twice),
    );
    check("attempts", &message["attempts"], json!(case.attempts));
    check("accepted", &json!(end.accepted), json!(case.accepted));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redirect_leads_to_its_own_number() {
        let cases = cases("http://provider");
        let (_, _, fault) = &cases[0].rules[0];
        let id = meta::phone_number_id(0);
        assert!(matches!(fault, Fault::Redirect { location, .. } if location.contains(&id)));
    }

    #[test]
    fn an_end_that_differs_is_told() {
        let case = Case::unknown("x", Fault::ResetBefore);
        let message = json!({
            "status": "sending", "error": {"class": "unknown"}, "outcomeUnknown": true,
            "mayBeDuplicate": false, "attempts": 1,
        });
        let mut end = End {
            message,
            accepted: 0,
            took: Duration::ZERO,
        };
        assert_eq!(differences(&case, &end), Vec::<String>::new());
        end.accepted = 1;
        end.message["status"] = json!("queued");
        assert_eq!(differences(&case, &end).len(), 2);
    }
}
