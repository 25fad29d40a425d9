//! Meta's part of Embedded Signup (meta.md section 16): what its window hands to the browser, and the exchange of the code.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::hub::Hub;
use crate::meta::errors::GraphError;
use crate::server::param;
use crate::state::lock;

/// How long a code lives, in milliseconds.
const CODE_LIFE: u64 = 30_000;
/// Codes that are kept; older ones give way.
const KEPT: usize = 256;

#[derive(Debug)]
struct Issued {
    code: String,
    number: String,
    until: u64,
}

/// Codes that were given out and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Codes(VecDeque<Issued>);

/// What a browser gets at the end of a signup.
#[derive(Debug, Clone)]
pub struct Signup {
    /// The code that the login gives.
    pub code: String,
    /// The message of the window, as facebook.com posts it.
    pub event: Value,
}

impl Hub {
    /// A business goes through Meta's window with a number: it belongs to the business, is not registered for the API, and
    /// nobody hears of its account yet.
    pub(crate) fn sign_up(&self, number_id: &str) -> Option<Signup> {
        let number = self.number(number_id)?;
        let line = number.meta()?;
        line.registered.store(false, Ordering::Relaxed);
        line.waba.subscribed.store(false, Ordering::Relaxed);
        let code = format!("AQ{:016x}{:016x}", self.rng.next(), self.rng.next());
        let mut codes = lock(&self.meta.codes);
        if codes.0.len() >= KEPT {
            codes.0.pop_front();
        }
        codes.0.push_back(Issued {
            code: code.clone(),
            number: number_id.to_owned(),
            until: self.now_ms() + CODE_LIFE,
        });
        drop(codes);
        let data = json!({
            "phone_number_id": number_id, "waba_id": line.waba.id, "business_id": "2729063490586005",
        });
        Some(Signup {
            code,
            event: json!({ "type": "WA_EMBEDDED_SIGNUP", "event": "FINISH", "data": data, "version": 3 }),
        })
    }

    /// `GET /oauth/access_token`: a token for the code, once.
    pub(crate) fn exchange_code(&self, version: &str, query: &str) -> Answer {
        let given = |name| param(query, name).unwrap_or_default();
        let fail = |message: &'static str| {
            let error = GraphError {
                message: message.into(),
                ..GraphError::of(100)
            };
            Answer::error(self, version, &error)
        };
        if given("client_id").is_empty() {
            return fail("Missing client_id parameter.");
        }
        let (code, now) = (given("code"), self.now_ms());
        let mut codes = lock(&self.meta.codes);
        let found = codes.0.iter().position(|issued| issued.code == code);
        let issued = found.and_then(|at| codes.0.remove(at));
        drop(codes);
        let number = issued
            .filter(|issued| issued.until > now)
            .and_then(|issued| self.number(&issued.number));
        let Some(line) = number.as_ref().and_then(|number| number.meta()) else {
            return fail("This authorization code has expired or was used.");
        };
        if line.config.app_secret != given("client_secret") {
            return fail("Error validating client secret.");
        }
        let token = json!({ "access_token": line.config.access_token, "token_type": "bearer" });
        Answer::value(self, version, &token)
    }
}
